import type { ConsumeOptions, Entry, EntryOutcome } from "@sluice/bus";
import {
  type Db,
  deleteReceipts,
  endOffline,
  findReceipts,
  holdLease,
  insertQuarantine,
  insertReceipts,
  LeaseLostError,
  lockSensorStates,
  putDevicesSeen,
  putSensorStates,
  type Receipt,
  type Transaction,
} from "@sluice/db";
import { type InvalidInputError, OutageError } from "@sluice/shared-types";
import { applyChanges } from "./apply-changes.ts";
import type { SensorState } from "./judge.ts";
import type { Term } from "./lead.ts";
import type { AlertMetrics } from "./metrics.ts";
import { createPulse } from "./pulse.ts";
import { type Heard, judgeReadings, listenFor, pickReadings, readEntry } from "./read-batch.ts";
import type { RuleBook } from "./rule-book.ts";

/** What judging a batch needs. */
export interface JudgeOptions {
  db: Db;
  book: RuleBook;
  term: Term;
  stream: string;
  /** Readings older than this when they arrive raise no alert. */
  maxAgeMs: number;
  metrics: AlertMetrics;
  /** Told when the gateway got the newest message of a batch, once it is committed. */
  onDone(receivedUs: number): void;
  /** Entries whose receipts are of no more use, since they are acknowledged; and that these are deleted. */
  acknowledged(): readonly string[];
  forget(ids: readonly string[]): void;
}

/** Receipts of this group stand beside those of `postgres`. */
const receiptsOf = (stream: string) => `alerts of ${stream}`;

/**
 * Makes the handler that judges entries: one transaction holds the lease, what is remembered, alerts, notifications,
 * commands, flags and receipts. An entry that was committed before is only reported.
 */
export function createJudge(options: JudgeOptions): Pick<ConsumeOptions, "handle" | "quarantine"> {
  const { db, term } = options;
  const receiptStream = receiptsOf(options.stream);
  const pulse = createPulse();

  async function handle(entries: readonly Entry[]): Promise<EntryOutcome[]> {
    const ids = entries.map(({ id }) => id);
    const known = await findReceipts(db, receiptStream, ids);
    const left = entries.filter(({ id }) => !known.has(id));
    const receipts = left.length === 0 ? [] : await judgeEntries(left);
    for (const { entryId, outcomes } of receipts) known.set(entryId, outcomes);
    return ids.map((id) => toOutcome(id, known.get(id) ?? ""));
  }

  async function judgeEntries(entries: readonly Entry[]): Promise<Receipt[]> {
    const read = entries.map(readEntry);
    const messages = read.flat().filter((message) => message !== undefined);
    const devices = await options.book.open(messages);
    const picked = pickReadings(messages, devices, options.maxAgeMs * 1000);
    const heard = listenFor(messages, devices);
    const due = pulse.due(heard);
    const receipts = entries.map(({ id }, i) => ({
      entryId: id,
      outcomes: (read[i] ?? []).map((message) => (message ? "s" : "q")).join(""),
    }));
    const acknowledged = options.acknowledged();
    const changes = await inTerm(term, db, async (tx) => {
      const remembered = await lockSensorStates<SensorState>(tx, [...picked.keys()]);
      const judged = judgeReadings(picked, remembered);
      await putSensorStates(tx, judged.states);
      await applyChanges(tx, judged.changes);
      await putDevicesSeen(tx, due);
      await endSilence(tx, heard);
      await deleteReceipts(tx, receiptStream, acknowledged);
      await insertReceipts(tx, receiptStream, receipts);
      return judged.changes;
    });
    pulse.took(due);
    options.forget(acknowledged);
    options.metrics.judged(messages.length, changes);
    const newestUs = messages.reduce((newest, { receivedUs }) => Math.max(newest, receivedUs), 0);
    if (newestUs > 0) options.onDone(newestUs);
    return receipts;
  }

  async function quarantine(entry: Entry, error: InvalidInputError): Promise<EntryOutcome> {
    await insertQuarantine(
      db,
      entry.messages.map((text, i) => ({
        dedupeKey: `${receiptStream}/${entry.id}#${i}`,
        reason: error.code,
        detail: error.message,
        source: "alerts",
        messageId: `${entry.id}#${i}`,
        receivedUs: Date.now() * 1000,
        payload: Buffer.from(text),
      })),
    );
    return { id: entry.id, stored: 0, duplicate: 0, quarantined: entry.messages.length };
  }

  return { handle, quarantine };
}

/** Devices that are heard are not silent any more. */
async function endSilence(tx: Transaction, heard: ReadonlyMap<number, Heard>): Promise<void> {
  const there = [...heard.values()].filter(({ offlineUs }) => offlineUs === null);
  if (there.length === 0) return;
  const ids = there.map(({ deviceId }) => deviceId);
  await endOffline(tx, ids, Math.max(...there.map(({ seenUs }) => seenUs)));
}

function toOutcome(id: string, letters: string): EntryOutcome {
  const quarantined = letters.split("q").length - 1;
  return { id, stored: letters.length - quarantined, duplicate: 0, quarantined };
}

/** Runs `work` in a transaction that commits only while the lease is held. */
export async function inTerm<T>(term: Term, db: Db, work: (tx: Transaction) => Promise<T>): Promise<T> {
  try {
    return await db.transaction(async (tx) => {
      await holdLease(tx, term.id);
      return work(tx);
    });
  } catch (error) {
    if (!(error instanceof LeaseLostError)) throw error;
    term.lose();
    // held until the consumer has seen that its term is over, and then given back
    throw new OutageError("lease", "another process judges readings now", undefined, { cause: error });
  }
}
