import {
  copyMeasurements,
  type Db,
  holdWatermark,
  insertSequences,
  insertTexts,
  type Sequence,
  sortRows,
} from "@sluice/db";
import { InvalidInputError } from "@sluice/shared-types";
import { account, type Batch, type Decision } from "./account.ts";
import type { BatchMessage, Plan } from "./batch.ts";
import { checkErased, Erased } from "./erase.ts";

class NotAllNew extends Error {}

/**
 * Stores a batch as if every reading in it were new. False, with nothing stored, where it turns out that they are
 * not, or that one of them cannot be stored at all.
 */
export async function commitNew(db: Db, batch: Batch, plan: Plan): Promise<Decision | undefined> {
  const decision = decideNew(plan);
  if (!decision) return undefined;
  const sequences = sequencesOf(batch.messages, plan);
  if (repeatsItself(sequences)) return undefined;
  const texts = [...plan.texts].sort((a, b) => a.sensorId - b.sensorId || a.timeUs - b.timeUs);
  try {
    await db.transaction(async (tx) => {
      const [watermarkUs, , , insertedTexts, unseen] = await Promise.all([
        holdWatermark(tx),
        checkErased(tx, batch),
        copyMeasurements(tx, plan.rows, decision.inserted),
        insertTexts(tx, texts),
        insertSequences(tx, sequences),
      ]);
      if (insertedTexts !== texts.length || !unseen) throw new NotAllNew();
      await account(tx, batch, plan, decision, watermarkUs);
    });
    return decision;
  } catch (error) {
    if (error instanceof NotAllNew || error instanceof Erased || error instanceof InvalidInputError)
      return undefined;
    throw error;
  }
}

/** The identities in a batch; `message` of each is kept alongside. */
export function sequencesOf(
  messages: readonly BatchMessage[],
  { parts }: Plan,
): (Sequence & { message: number })[] {
  const sequences: (Sequence & { message: number })[] = [];
  for (const [message, part] of parts.entries()) {
    const telemetry = messages[message]?.telemetry;
    if (telemetry?.seq === undefined || !part.device || telemetry.correction) continue;
    const { boot = "", seq, receivedUs } = telemetry;
    sequences.push({ deviceId: part.device.id, boot, seq, receivedUs, message });
  }
  return sequences;
}

function repeatsItself(sequences: readonly Sequence[]): boolean {
  const keys = new Set<string>();
  for (const { deviceId, boot, seq } of sequences) {
    if (boot === "") continue;
    const key = `${deviceId}/${seq}/${boot}`;
    if (keys.has(key)) return true;
    keys.add(key);
  }
  return false;
}

/** undefined where the batch holds a repetition of anything: that needs a closer look. */
function decideNew(plan: Plan): Decision | undefined {
  const { rows, texts, corrections, parts } = plan;
  if (corrections.length > 0) return undefined;
  const inserted = sortRows(rows);
  for (let i = 1; i < inserted.length; i++) {
    const [a, b] = [inserted[i - 1] as number, inserted[i] as number];
    if (rows.timesUs[a] === rows.timesUs[b] && rows.sensorIds[a] === rows.sensorIds[b]) return undefined;
  }
  const fresh = new Int32Array(parts.length);
  for (const [i, part] of parts.entries()) fresh[i] = part.rowTo - part.rowFrom + part.textTo - part.textFrom;
  return {
    fresh,
    refusals: parts.map((part) => part.refusals),
    inserted,
    insertedTexts: [...texts.keys()],
    corrected: new Set(),
  };
}
