import {
  countNotStored,
  countReadings,
  type Db,
  listRefusedMessages,
  type SentReading,
  type Series,
} from "@sluice/db";
import { parsePayload, parseTime } from "@sluice/shared-types";
import type { Published } from "./publish-rows.ts";

/** What became of the readings of an import. They add up to the readings that were accepted. */
export interface ImportOutcome {
  /** Readings that are new. */
  stored: number;
  /** Readings that were there already, with the same value. */
  duplicate: number;
  /** Readings that were refused, such as another value for what is stored. */
  quarantined: number;
  /** Why, by message. */
  reasons: Record<string, number>;
}

/**
 * Counts what became of what was published, once it is processed. `before` is how many readings its series had
 * before; other writers to the same series at the same time would be counted too.
 */
export async function findOutcome(
  db: Db,
  published: Published,
  series: readonly Series[],
  before: number,
  since: Date,
): Promise<ImportOutcome> {
  const stored = (await countReadings(db, series)) - before;
  const reasons: Record<string, number> = {};
  let quarantined = 0;
  for (const message of await listRefusedMessages(db, [...published.byId.keys()], since)) {
    for (const reason of message.reasons) reasons[reason] = (reasons[reason] ?? 0) + 1;
    const readings = readingsOf(message);
    quarantined += readings
      ? await countNotStored(db, readings)
      : (published.byId.get(message.messageId) ?? 0);
  }
  return { stored, duplicate: published.readings - stored - quarantined, quarantined, reasons };
}

/** The readings of a kept payload; undefined where it was cut. */
function readingsOf(message: {
  device: string;
  type: string | null;
  payload: Buffer;
}): SentReading[] | undefined {
  let json: unknown;
  try {
    json = JSON.parse(message.payload.toString("utf8"));
  } catch {
    return undefined;
  }
  const { samples } = parsePayload(json, message.type ?? "telemetry");
  return samples.flatMap(({ time, readings }) =>
    readings.map(({ field, value }) => ({
      device: message.device,
      field,
      value,
      timeUs: parseTime(time) ?? 0,
    })),
  );
}
