import {
  applyCorrections,
  type Correction,
  type Db,
  findEchoes,
  findMeasurements,
  findSeen,
  findTexts,
  holdWatermark,
  insertMeasurements,
  insertSequences,
  insertTexts,
  type Sequence,
  sortRows,
  type TextRow,
  type Transaction,
} from "@sluice/db";
import { OutageError } from "@sluice/shared-types";
import { account, type Batch, type Decision } from "./account.ts";
import type { Plan } from "./batch.ts";
import { sequencesOf } from "./commit-new.ts";
import { decide, type Known } from "./decide.ts";
import { checkErased } from "./erase.ts";

const ATTEMPTS = 10;

/** Another writer stored something of this batch between two of our statements. */
class Overtaken extends Error {}
class Rehearsed extends Error {}

/**
 * Stores a batch, asking about every reading in it: what is new goes in, what is there already counts as
 * duplicate, what contradicts it goes to quarantine. With `rehearse` everything is rolled back in the end.
 * @throws Erased where a tombstone takes something of it
 */
export async function commitExact(db: Db, batch: Batch, plan: Plan, rehearse = false): Promise<Decision> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    let decision: Decision | undefined;
    try {
      await db.transaction(async (tx) => {
        decision = await writeExact(tx, batch, plan, rehearse);
        if (rehearse) throw new Rehearsed();
      });
    } catch (error) {
      if (error instanceof Overtaken) continue;
      if (!(error instanceof Rehearsed)) throw error;
    }
    if (decision) return decision;
  }
  throw new OutageError("postgres", "other writers kept storing the same readings");
}

async function writeExact(tx: Transaction, batch: Batch, plan: Plan, rehearse: boolean): Promise<Decision> {
  const watermarkUs = await holdWatermark(tx);
  if (!rehearse) await checkErased(tx, batch);
  await tx.execute("SET LOCAL enable_hashjoin = off"); // a look at each key, never a scan of all readings
  await tx.execute("SET LOCAL enable_mergejoin = off");
  const sequences = sequencesOf(batch.messages, plan);
  const known = await look(tx, plan, sequences);
  const decision = decide(batch.messages, plan, known);
  const texts = decision.insertedTexts.map((i) => plan.texts[i] as TextRow);
  if ((await insertMeasurements(tx, plan.rows, decision.inserted)) !== decision.inserted.length) {
    throw new Overtaken();
  }
  if ((await insertTexts(tx, texts)) !== texts.length) throw new Overtaken();
  const unseen = sequences.filter((s, i) => s.boot === "" || !known.seen.has(i));
  if (!(await insertSequences(tx, unseen))) throw new Overtaken();
  await correct(tx, plan.corrections, decision);
  if (!rehearse) await account(tx, batch, plan, decision, watermarkUs);
  return decision;
}

async function look(
  tx: Transaction,
  plan: Plan,
  sequences: readonly (Sequence & { message: number })[],
): Promise<Known> {
  const order = sortRows(plan.rows);
  const seen = await findSeen(tx, sequences);
  const values = await findMeasurements(tx, plan.rows, order);
  const texts = await findTexts(tx, plan.texts);
  const again = new Set([...seen].map((i) => sequences[i]?.message));
  const suspects = order.filter((row) => again.has(plan.rows.messages[row] as number) && !values.has(row));
  const echoes = await findEchoes(tx, plan.rows, suspects);
  return { order, sequences, seen, values, texts, echoes };
}

/** A key that is corrected twice in one batch is corrected in two rounds, in order. */
async function correct(
  tx: Transaction,
  corrections: readonly Correction[],
  decision: Decision,
): Promise<void> {
  const corrected = new Set<number>();
  let left = [...corrections.keys()];
  while (left.length > 0) {
    const keys = new Set<string>();
    const now: number[] = [];
    const later: number[] = [];
    for (const i of left) {
      const key = `${corrections[i]?.sensorId}/${corrections[i]?.timeUs}`;
      (keys.has(key) ? later : now).push(i);
      keys.add(key);
    }
    const compare = (a: Correction, b: Correction) => a.sensorId - b.sensorId || a.timeUs - b.timeUs;
    now.sort((a, b) => compare(corrections[a] as Correction, corrections[b] as Correction));
    const changed = await applyCorrections(
      tx,
      now.map((i) => corrections[i] as Correction),
    );
    for (const at of changed) corrected.add(now[at] as number);
    left = later;
  }
  for (const i of corrected) {
    const { message } = corrections[i] as Correction;
    decision.fresh[message] = (decision.fresh[message] as number) + 1;
  }
  decision.corrected = corrected;
}
