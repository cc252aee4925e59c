import type { Entry } from "@sluice/bus";
import {
  addTotals,
  CLOCKS,
  insertClockFlags,
  insertQuarantine,
  insertReceipts,
  markDirty,
  type Presence,
  type QuarantineInput,
  type Receipt,
  type TouchedRange,
  type Transaction,
  updatePresence,
} from "@sluice/db";
import { keepPayload, payloadOf, type Telemetry } from "@sluice/shared-types";
import type { BatchMessage, MessagePart, Plan, Refusal } from "./batch.ts";
import { noteReports } from "./device-reports.ts";

/** What became of a message: the letter its receipt has. */
export type Outcome = "s" | "d" | "q";

/** What a batch did, decided before it is accounted for. */
export interface Decision {
  /** Per message: readings that are new. */
  fresh: Int32Array;
  /** Per message: what was refused of it. */
  refusals: Refusal[][];
  /** Rows stored, in order of their key. */
  inserted: Int32Array;
  /** Texts stored: indexes of the plan's. */
  insertedTexts: readonly number[];
  /** Corrections that changed something: indexes of the plan's. */
  corrected: ReadonlySet<number>;
}

/** A batch that is being stored. */
export interface Batch {
  stream: string;
  entries: readonly Entry[];
  messages: readonly BatchMessage[];
}

/** Stored if any reading of it is new; else quarantined if anything of it was refused; else a duplicate. */
export function outcomeOf({ messages }: Batch, { fresh, refusals }: Decision, message: number): Outcome {
  if ((fresh[message] as number) > 0 || messages[message]?.settled) return "s";
  return (refusals[message]?.length ?? 0) > 0 ? "q" : "d";
}

/** Receipts of the entries of a batch. */
export function receiptsOf(batch: Batch, decision: Decision): Receipt[] {
  let at = 0;
  return batch.entries.map(({ id, messages }) => {
    let outcomes = "";
    for (let i = 0; i < messages.length; i++) outcomes += outcomeOf(batch, decision, at++);
    return { entryId: id, outcomes };
  });
}

/** Somebody else committed one of the entries in the meantime: look for receipts again. */
export class ReceiptRace extends Error {
  override readonly name = "ReceiptRace";
}

/**
 * Writes everything that goes with the readings, in the same transaction and always in this order: presence,
 * reports, flags, marks, quarantine, receipts, totals.
 * @throws ReceiptRace
 */
export async function account(
  tx: Transaction,
  batch: Batch,
  plan: Plan,
  decision: Decision,
  watermarkUs: number,
): Promise<void> {
  await Promise.all([updatePresence(tx, presences(batch, plan, decision)), noteReports(tx, batch.messages)]);
  const receipts = receiptsOf(batch, decision);
  const count = (letter: Outcome) =>
    receipts.reduce((sum, { outcomes }) => sum + outcomes.split(letter).length - 1, 0);
  const [, , , added] = await Promise.all([
    insertClockFlags(tx, clockFlags(plan, decision)),
    markDirty(tx, touched(plan, decision, watermarkUs)),
    insertQuarantine(tx, quarantined(batch, decision)),
    insertReceipts(tx, batch.stream, receipts),
    addTotals(tx, {
      stream: batch.stream,
      stored: count("s"),
      duplicate: count("d"),
      quarantined: count("q"),
      readings: decision.fresh.reduce((sum, n) => sum + n, 0),
    }),
  ]);
  if (!added) throw new ReceiptRace("entry already committed");
}

function quarantined({ stream, messages }: Batch, { refusals }: Decision): QuarantineInput[] {
  const rows: QuarantineInput[] = [];
  for (const [i, ofMessage] of refusals.entries()) {
    for (const refusal of ofMessage) rows.push(toQuarantine(stream, messages[i] as BatchMessage, refusal));
  }
  return rows;
}

function toQuarantine(
  stream: string,
  { id, text, telemetry }: BatchMessage,
  refusal: Refusal,
): QuarantineInput {
  // It was accepted within the packet limit: all of it is kept.
  const kept = keepPayload(telemetry ? payloadOf(text) : text, Number.POSITIVE_INFINITY);
  return {
    dedupeKey: `${stream}/${id}/${refusal.reason}`,
    reason: refusal.reason,
    detail: refusal.detail,
    source: "postgres",
    device: telemetry?.device,
    topic: telemetry?.topic,
    type: telemetry?.type,
    boot: telemetry?.boot,
    seq: telemetry?.seq,
    messageId: id,
    receivedUs: telemetry?.receivedUs ?? Date.now() * 1000,
    payload: Buffer.from(kept.payload, "base64"),
    truncated: kept.truncated,
  };
}

const TOUCH_EVERY_MS = 30_000;
const OFFLINE = new Set(["offline", "lwt"]);

/** Status messages always count; plain data at most every 30 s per device. */
function presences({ messages }: Batch, { parts }: Plan, { refusals }: Decision): Presence[] {
  const byDevice = new Map<number, Presence>();
  const nowMs = Date.now();
  for (let i = 0; i < parts.length; i++) {
    const { device } = parts[i] as MessagePart;
    const telemetry = messages[i]?.telemetry;
    if (!device || !telemetry || !isLive(telemetry)) continue;
    const isStatus = telemetry.kind === "status";
    if (!isStatus && device.touchedUntilMs > nowMs && !byDevice.has(device.id)) continue;
    if (!isStatus && (refusals[i]?.length ?? 0) > 0) continue;
    let presence = byDevice.get(device.id);
    if (!presence) {
      presence = {
        deviceId: device.id,
        statusUs: Number.NaN,
        heartbeatUs: Number.NaN,
        dataUs: Number.NaN,
        skewUs: Number.NaN,
      };
      byDevice.set(device.id, presence);
    }
    // a device's own clock may be ahead of ours; one that is behind tells of a message that was held up
    const atUs = Math.min(telemetry.receivedUs, telemetry.samples.at(-1)?.timeUs ?? telemetry.receivedUs);
    noteClock(presence, telemetry);
    const offline = isStatus && isOffline(telemetry.type, telemetry.samples.at(-1)?.readings ?? []);
    if (!(atUs < presence.statusUs)) {
      presence.status = offline ? "offline" : "online";
      presence.statusUs = atUs;
    }
    if (isStatus) presence.heartbeatUs = offline ? presence.heartbeatUs : latest(presence.heartbeatUs, atUs);
    else presence.dataUs = latest(presence.dataUs, telemetry.receivedUs);
  }
  return [...byDevice.values()];
}

function noteClock(presence: Presence, { receivedUs, samples }: Telemetry): void {
  const last = samples.at(-1);
  if (!last) return;
  presence.clock = last.clock;
  if (last.clock !== "device") return;
  const skewUs = receivedUs - last.timeUs;
  if (!(skewUs > presence.skewUs)) presence.skewUs = skewUs;
}

const isLive = ({ source, correction }: Telemetry) =>
  source !== "import" && source !== "replay" && source !== "operator" && correction === undefined;

/** Once the batch is committed: lets its devices' presence rest for a while. */
export function restPresence({ messages }: Batch, { parts }: Plan): void {
  const nowMs = Date.now();
  for (let i = 0; i < parts.length; i++) {
    const { device } = parts[i] as MessagePart;
    const telemetry = messages[i]?.telemetry;
    if (!device || !telemetry || !isLive(telemetry)) continue;
    if (telemetry.kind === "status") device.touchedUntilMs = 0;
    else if (device.touchedUntilMs <= nowMs) device.touchedUntilMs = nowMs + TOUCH_EVERY_MS;
  }
}

const latest = (a: number, b: number) => (Number.isNaN(a) || b > a ? b : a);

/** `status/offline`, a last will, `status/connectivity {connected: false}`, or any `{status: "offline"}`. */
function isOffline(type: string, readings: readonly { field: string; value: unknown }[]): boolean {
  if (type === "online" || type === "heartbeat") return false;
  if (OFFLINE.has(type)) return true;
  return readings.some(
    ({ field, value }) =>
      (field === "connected" && value === false) || (field === "status" && value === "offline"),
  );
}

function clockFlags({ rows, texts }: Plan, { inserted, insertedTexts }: Decision) {
  const flags: { sensorId: number; timeUs: number; flag: string }[] = [];
  const first = CLOCKS.indexOf("past");
  const add = (sensorId: number, timeUs: number, clock: number) => {
    if (clock >= first) flags.push({ sensorId, timeUs, flag: `clock_${CLOCKS[clock]}` });
  };
  for (const row of inserted) {
    const clock = rows.clocks[row] as number;
    if (clock >= first) add(rows.sensorIds[row] as number, rows.timesUs[row] as number, clock);
  }
  for (const i of insertedTexts) {
    const text = texts[i];
    if (text) add(text.sensorId, text.timeUs, text.clock);
  }
  return flags;
}

const HOUR_US = 3_600_000_000;

/** Rows older than the watermark, one range per sensor and hour: what lies between is rolled up anew. */
function touched(plan: Plan, { inserted, corrected }: Decision, watermarkUs: number): TouchedRange[] {
  const ranges = new Map<string, TouchedRange>();
  const touch = (sensorId: number, timeUs: number) => {
    const key = `${sensorId}/${Math.floor(timeUs / HOUR_US)}`;
    const range = ranges.get(key);
    if (!range) ranges.set(key, { sensorId, fromUs: timeUs, toUs: timeUs });
    else {
      range.fromUs = Math.min(range.fromUs, timeUs);
      range.toUs = Math.max(range.toUs, timeUs);
    }
  };
  if (watermarkUs > Number.NEGATIVE_INFINITY) {
    for (const row of inserted) {
      const timeUs = plan.rows.timesUs[row] as number;
      if (timeUs < watermarkUs) touch(plan.rows.sensorIds[row] as number, timeUs);
    }
    for (const i of corrected) {
      const c = plan.corrections[i];
      if (c && c.text === undefined && c.timeUs < watermarkUs) touch(c.sensorId, c.timeUs);
    }
  }
  return [...ranges.values()].sort((a, b) => a.sensorId - b.sensorId || a.fromUs - b.fromUs);
}
