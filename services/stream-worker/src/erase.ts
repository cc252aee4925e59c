import {
  applyTombstone,
  type Db,
  findTombstonesAfter,
  type PlacedTombstone,
  type Transaction,
} from "@sluice/db";
import { covers } from "@sluice/shared-types";
import type { Batch } from "./account.ts";
import type { BatchMessage } from "./batch.ts";

/** A tombstone that came after some of the batch is in force: the batch has to be stored without what it erases. */
export class Erased extends Error {
  override readonly name = "Erased";
  readonly tombstones: readonly PlacedTombstone[];
  constructor(tombstones: readonly PlacedTombstone[]) {
    super("readings of the batch were deleted before they were stored");
    this.tombstones = tombstones;
  }
}

/** Carries out the tombstones of a batch, before anything of it is stored; done again it changes nothing. */
export async function applyTombstones(db: Db, { stream, messages }: Batch): Promise<void> {
  for (const { id, ordinal, telemetry } of messages) {
    if (telemetry?.tombstone)
      await applyTombstone(db, { ...telemetry.tombstone, stream, ordinal, messageId: id });
  }
}

/**
 * Looks for tombstones that erase something of the batch. In the transaction that stores it, once that holds the
 * rollup lock: from then on no other one can come into force.
 * @throws Erased
 */
export async function checkErased(tx: Transaction, { stream, messages }: Batch): Promise<void> {
  const first = messages.find(({ ordinal }) => ordinal > 0);
  if (!first) return;
  const tombstones = await findTombstonesAfter(tx, stream, first.ordinal);
  if (messages.some((message) => isTouched(message, tombstones))) throw new Erased(tombstones);
}

/** The batch without what the tombstones erase. A message that keeps nothing counts as stored: it was, and is deleted. */
export function withoutErased(batch: Batch, tombstones: readonly PlacedTombstone[]): Batch {
  const messages = batch.messages.map((message): BatchMessage => {
    const { telemetry } = message;
    if (!telemetry || !isTouched(message, tombstones)) return message;
    const samples = telemetry.samples.filter(({ timeUs }) => !isErased(message, timeUs, tombstones));
    return { ...message, telemetry: { ...telemetry, samples }, settled: samples.length === 0 };
  });
  return { ...batch, messages };
}

const isTouched = (message: BatchMessage, tombstones: readonly PlacedTombstone[]) =>
  message.telemetry?.samples.some(({ timeUs }) => isErased(message, timeUs, tombstones)) === true;

function isErased(
  { ordinal, telemetry }: BatchMessage,
  timeUs: number,
  tombstones: readonly PlacedTombstone[],
): boolean {
  if (!telemetry || ordinal === 0) return false;
  const { device, receivedUs } = telemetry;
  return tombstones.some((one) => one.ordinal > ordinal && covers(one, device, timeUs, receivedUs));
}
