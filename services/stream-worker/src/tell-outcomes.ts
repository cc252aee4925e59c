import type { Bus, Entry } from "@sluice/bus";
import { decodeMessage, InvalidInputError, type Reason, type Telemetry } from "@sluice/shared-types";
import { type Batch, type Decision, type Outcome, outcomeOf } from "./account.ts";

/** What a device that waits for `stored` is told, by way of its gateway. */
export interface OutcomeMessage {
  notify: string;
  device: string;
  boot?: string;
  seq?: number;
  level: "stored" | "duplicate" | "quarantined";
  reason?: Reason;
}

const LEVELS = { s: "stored", d: "duplicate", q: "quarantined" } as const;
/** How a message that wants to be told about looks in its envelope: saves decoding all others. */
const NOTIFY = '"n":';

/** Tells the outcomes of a committed batch to those who asked. */
export async function tellOutcomes(
  bus: Pick<Bus, "publish">,
  stream: string,
  batch: Batch,
  decision: Decision,
): Promise<void> {
  const told: OutcomeMessage[] = [];
  for (const [i, { telemetry }] of batch.messages.entries()) {
    if (telemetry?.notify === undefined) continue;
    const reason = decision.refusals[i]?.[0]?.reason;
    told.push(toMessage(telemetry, telemetry.notify, outcomeOf(batch, decision, i), reason));
  }
  await publish(bus, stream, told);
}

/** Tells again what was committed by a worker that may have been killed before it could tell. */
export async function toldBefore(
  bus: Pick<Bus, "publish">,
  stream: string,
  entries: readonly Entry[],
  receipts: ReadonlyMap<string, string>,
): Promise<void> {
  const told: OutcomeMessage[] = [];
  for (const { id, messages } of entries) {
    const outcomes = receipts.get(id);
    if (outcomes === undefined) continue;
    for (const [i, text] of messages.entries()) {
      const telemetry = text.includes(NOTIFY) ? tryDecode(text) : undefined;
      if (telemetry?.notify === undefined) continue;
      told.push(toMessage(telemetry, telemetry.notify, outcomes[i] as Outcome));
    }
  }
  await publish(bus, stream, told);
}

function toMessage(t: Telemetry, notify: string, outcome: Outcome, reason?: Reason): OutcomeMessage {
  return {
    notify,
    device: t.device,
    ...(t.boot === undefined ? {} : { boot: t.boot }),
    ...(t.seq === undefined ? {} : { seq: t.seq }),
    level: LEVELS[outcome],
    ...(reason === undefined ? {} : { reason }),
  };
}

async function publish(
  bus: Pick<Bus, "publish">,
  stream: string,
  told: readonly OutcomeMessage[],
): Promise<void> {
  if (told.length === 0) return;
  await bus.publish(
    stream,
    told.map((message) => JSON.stringify(message)),
  );
}

function tryDecode(text: string): Telemetry | undefined {
  try {
    return decodeMessage(text);
  } catch (error) {
    if (error instanceof InvalidInputError) return undefined;
    throw error;
  }
}
