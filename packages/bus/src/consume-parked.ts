import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { InvalidInputError, OutageError } from "@sluice/shared-types";
import type { Bus, Entry, EntryOutcome } from "./bus.ts";
import type { ConsumeOptions } from "./consume.ts";
import { type Log, SILENT } from "./log.ts";

/** A run of parked entries, as it is kept. */
export interface KeptRange {
  id: string;
  stream: string;
  group: string;
  messages: number;
  /** Gzipped JSON of the entries. */
  body: Buffer;
}

/** What is done with parked entries: the same as with others. */
export interface ConsumeParkedOptions extends Pick<ConsumeOptions, "handle" | "quarantine" | "signal"> {
  /**
   * Hands the oldest range of the group to `work`, to nobody else meanwhile, and forgets it once that resolves; false
   * where there is none.
   */
  take(work: (range: KeptRange) => Promise<void>): Promise<boolean>;
  log?: Log;
}

const IDLE_MS = 2_000;
const decompress = promisify(gunzip);

/**
 * Until the signal: handles what was parked for a group, oldest first, as if it had just been read. Killed between
 * handling and counting it handles the same entries again, and counts them once. Outages are ridden out.
 */
export async function consumeParked(bus: Pick<Bus, "parking">, options: ConsumeParkedOptions): Promise<void> {
  const { parking } = bus;
  const { signal, take, log = SILENT } = options;
  if (!parking) return;
  let messages = 0;
  const work = async (range: KeptRange) => {
    const entries = JSON.parse((await decompress(range.body)).toString("utf8")) as Entry[];
    const outcome = await handleEntries(entries, options);
    await parking.unpark(range.stream, range.group, range.id, outcome);
    messages += range.messages;
  };
  while (!signal.aborted) {
    let found = false;
    try {
      found = await take(work);
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
      log.debug({ err: error }, "what is parked cannot be handled yet");
    }
    if (found) continue;
    if (messages > 0) log.info({ messages }, "what was parked is settled");
    messages = 0;
    await delay(IDLE_MS, undefined, { signal }).catch(() => {});
  }
}

async function handleEntries(
  entries: readonly Entry[],
  { handle, quarantine }: Pick<ConsumeOptions, "handle" | "quarantine">,
): Promise<Omit<EntryOutcome, "id">> {
  const outcomes = await handle(entries).catch(async (error: unknown) => {
    if (!(error instanceof InvalidInputError)) throw error;
    const alone: EntryOutcome[] = [];
    for (const entry of entries) alone.push(await handleAlone(entry, { handle, quarantine }));
    return alone;
  });
  const sum = { stored: 0, duplicate: 0, quarantined: 0 };
  for (const { stored, duplicate, quarantined } of outcomes) {
    sum.stored += stored;
    sum.duplicate += duplicate;
    sum.quarantined += quarantined;
  }
  return sum;
}

async function handleAlone(
  entry: Entry,
  { handle, quarantine }: Pick<ConsumeOptions, "handle" | "quarantine">,
): Promise<EntryOutcome> {
  try {
    const [outcome] = await handle([entry]);
    if (outcome) return outcome;
    throw new Error(`nobody said what became of entry ${entry.id}`);
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    return quarantine(entry, error);
  }
}
