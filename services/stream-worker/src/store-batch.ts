import type { Bus, ConsumeOptions, Entry, EntryOutcome } from "@sluice/bus";
import {
  type Db,
  ensurePartitions,
  findReceipts,
  type Receipt,
  type SensorRegistry,
  weekOf,
} from "@sluice/db";
import { InvalidInputError, type Reason } from "@sluice/shared-types";
import { account, type Batch, type Decision, ReceiptRace, receiptsOf, restPresence } from "./account.ts";
import { decodeEntries, type Plan, type Refusal } from "./batch.ts";
import { commitExact } from "./commit-exact.ts";
import { commitNew } from "./commit-new.ts";
import { decide, type Known } from "./decide.ts";
import { applyTombstones, Erased, withoutErased } from "./erase.ts";
import { findPoison } from "./find-poison.ts";
import { createPlanner, type Planner } from "./plan-batch.ts";
import { tellOutcomes, toldBefore } from "./tell-outcomes.ts";

/** What storing needs. */
export interface StoreOptions {
  db: Db;
  bus: Pick<Bus, "publish">;
  registry: SensorRegistry;
  autoRegister: boolean;
  stream: string;
  /** Where outcomes are told that somebody waits for. */
  outcomes: string;
  /** Text that is decoded and stored at once: ten times as much memory; by default 4 MB. */
  sliceChars?: number;
  /** What a batch did, for the metrics. */
  onStored?(batch: StoredBatch): void;
}

/** What a committed batch was. */
export interface StoredBatch {
  readings: number;
  stored: number;
  duplicate: number;
  quarantined: number;
  /** Whether every reading had to be asked about. */
  exact: boolean;
  /** Of everything that went to quarantine. */
  reasons: Reason[];
  /** When the gateway got its first and last message. */
  receivedUs: number[];
}

/** The two things that the consumer loop asks for. */
export type Store = Pick<ConsumeOptions, "handle" | "quarantine">;

/** After a batch of repetitions the next ones are likely to be some too: asking first is cheaper than failing. */
const EXACT_BATCHES = 8;

/**
 * Makes the handler that stores entries: one transaction, then the outcomes are told. Entries with a receipt were
 * committed before and are only reported. Several calls may run at once.
 */
export function createStore(options: StoreOptions): Store {
  const planner = createPlanner(options.registry, options.autoRegister);
  const weeks = new Set<number>();
  /** Entries whose commit may have happened although it was not heard of. */
  const tried = new WeakSet<Entry>();
  let exactBatches = 0;

  async function store(entries: readonly Entry[]): Promise<Map<string, string>> {
    let batch: Batch = { stream: options.stream, entries, messages: decodeEntries(entries) };
    await applyTombstones(options.db, batch);
    const plan = await planner.plan(batch.messages);
    await preparePartitions(options.db, plan, weeks);
    let exact = exactBatches > 0;
    if (exact) exactBatches--;
    let decision = exact ? undefined : await commitNew(options.db, batch, plan);
    let stored = plan;
    if (!decision) {
      exact = true;
      ({ decision, batch, plan: stored } = await storeExactly(options.db, planner, batch, plan));
      if (decision.inserted.length < plan.rows.length) exactBatches = EXACT_BATCHES;
    }
    restPresence(batch, stored);
    return report(batch, decision, exact);
  }

  async function report(batch: Batch, decision: Decision, exact: boolean): Promise<Map<string, string>> {
    const receipts = receiptsOf(batch, decision);
    options.onStored?.(summarise(batch, decision, receipts, exact));
    await tellOutcomes(options.bus, options.outcomes, batch, decision);
    return new Map(receipts.map(({ entryId, outcomes }) => [entryId, outcomes]));
  }

  async function quarantine(entry: Entry, error: InvalidInputError): Promise<EntryOutcome> {
    const batch: Batch = { stream: options.stream, entries: [entry], messages: decodeEntries([entry]) };
    const refusal = { reason: error.code, detail: error.message };
    const plan = await planner.plan(batch.messages, new Map(batch.messages.map((_, i) => [i, refusal])));
    const decision = decide(batch.messages, plan, NOTHING_KNOWN);
    await options.db.transaction((tx) => account(tx, batch, plan, decision, Number.NEGATIVE_INFINITY));
    return toOutcome(entry.id, (await report(batch, decision, true)).get(entry.id) ?? "");
  }

  async function handle(entries: readonly Entry[]): Promise<EntryOutcome[]> {
    const outcomes = new Map<string, string>();
    for (const slice of sliceEntries(entries, options.sliceChars ?? SLICE_CHARS)) {
      for (const [id, letters] of await storeOnce(slice)) outcomes.set(id, letters);
    }
    return entries.map(({ id }) => toOutcome(id, outcomes.get(id) ?? ""));
  }

  /** The outcomes of entries by id; those that were committed before are not committed again. */
  async function storeOnce(entries: readonly Entry[]): Promise<Map<string, string>> {
    let ask = entries.some((entry) => entry.attempts > 1 || tried.has(entry));
    for (;;) {
      const receipts = ask
        ? await findReceipts(
            options.db,
            options.stream,
            entries.map(({ id }) => id),
          )
        : new Map<string, string>();
      await toldBefore(options.bus, options.outcomes, entries, receipts);
      const left = entries.filter(({ id }) => !receipts.has(id));
      for (const entry of left) tried.add(entry);
      if (left.length === 0) return receipts;
      try {
        return new Map([...receipts, ...(await store(left))]);
      } catch (error) {
        if (!(error instanceof ReceiptRace)) throw error;
        ask = true;
      }
    }
  }

  return { handle, quarantine };
}

/**
 * Decoded, a message takes some ten times its text. The more rows of a sensor go in together, the fewer pages of the index
 * are touched for each: 4 MB cost PostgreSQL a quarter less than 1 MB.
 */
export const SLICE_CHARS = 4_000_000;

function* sliceEntries(entries: readonly Entry[], sliceChars: number): Generator<Entry[]> {
  let slice: Entry[] = [];
  let chars = 0;
  for (const entry of entries) {
    const size = entry.messages.reduce((sum, text) => sum + text.length, 0);
    if (slice.length > 0 && chars + size > sliceChars) {
      yield slice;
      slice = [];
      chars = 0;
    }
    slice.push(entry);
    chars += size;
  }
  if (slice.length > 0) yield slice;
}

const NOTHING_KNOWN: Known = {
  order: new Int32Array(0),
  sequences: [],
  seen: new Set(),
  values: new Map(),
  texts: new Map(),
  echoes: new Set(),
};

function summarise(
  { messages }: Batch,
  decision: Decision,
  receipts: readonly Receipt[],
  exact: boolean,
): StoredBatch {
  const totals = receipts.map(({ entryId, outcomes }) => toOutcome(entryId, outcomes));
  const count = (key: "stored" | "duplicate" | "quarantined") =>
    totals.reduce((sum, one) => sum + one[key], 0);
  return {
    readings: decision.inserted.length + decision.insertedTexts.length + decision.corrected.size,
    stored: count("stored"),
    duplicate: count("duplicate"),
    quarantined: count("quarantined"),
    exact,
    reasons: decision.refusals.flatMap((refusals) => refusals.map(({ reason }) => reason)),
    receivedUs: [messages[0], messages.at(-1)].flatMap((message) => message?.telemetry?.receivedUs ?? []),
  };
}

/** Rows that no transaction can hold, and those that were deleted meanwhile, are left out; the others are stored. */
async function storeExactly(
  db: Db,
  planner: Planner,
  batch: Batch,
  plan: Plan,
): Promise<{ decision: Decision; batch: Batch; plan: Plan }> {
  const poison = new Map<number, Refusal>();
  for (;;) {
    try {
      return { decision: await commitExact(db, batch, plan), batch, plan };
    } catch (error) {
      if (error instanceof Erased) {
        batch = withoutErased(batch, error.tombstones);
        plan = await planner.plan(batch.messages, poison);
        continue;
      }
      if (!(error instanceof InvalidInputError)) throw error;
      const found = await findPoison(db, planner, batch, poison);
      if (found.size === 0) throw error;
      for (const [message, refusal] of found) poison.set(message, refusal);
      plan = await planner.plan(batch.messages, poison);
    }
  }
}

async function preparePartitions(db: Db, { rows, corrections }: Plan, made: Set<number>): Promise<void> {
  const missing = new Set<number>();
  const note = (timeUs: number) => {
    const week = weekOf(timeUs);
    if (!made.has(week)) missing.add(week);
  };
  for (let i = 0; i < rows.length; i++) note(rows.timesUs[i] as number);
  for (const { timeUs } of corrections) note(timeUs);
  if (missing.size === 0) return;
  await ensurePartitions(db, missing);
  for (const week of missing) made.add(week);
}

function toOutcome(id: string, outcomes: string): EntryOutcome {
  const outcome = { id, stored: 0, duplicate: 0, quarantined: 0 };
  for (const letter of outcomes) {
    if (letter === "s") outcome.stored++;
    else if (letter === "d") outcome.duplicate++;
    else outcome.quarantined++;
  }
  return outcome;
}
