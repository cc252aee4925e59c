import type { Queries, Transaction } from "./open-db.ts";

/** What became of each message of an entry, one letter each: (s)tored, (d)uplicate, (q)uarantined. */
export interface Receipt {
  entryId: string;
  outcomes: string;
}

/** Messages and readings ever committed from a stream. */
export interface LedgerTotal {
  stream: string;
  stored: number;
  duplicate: number;
  quarantined: number;
  readings: number;
}

/** Receipts of those of `entryIds` that are committed already. */
export async function findReceipts(
  db: Queries,
  stream: string,
  entryIds: readonly string[],
): Promise<Map<string, string>> {
  if (entryIds.length === 0) return new Map();
  const rows = await db.query<{ entry_id: string; outcomes: string }>(
    "SELECT entry_id, outcomes FROM public.ledger_receipt WHERE stream = $1 AND entry_id = ANY ($2)",
    [stream, entryIds],
  );
  return new Map(rows.map((row) => [row.entry_id, row.outcomes]));
}

/** Leaves receipts; false where one of them is there already, because somebody else committed the entry. */
export async function insertReceipts(
  tx: Transaction,
  stream: string,
  receipts: readonly Receipt[],
): Promise<boolean> {
  if (receipts.length === 0) return true;
  const sorted = [...receipts].sort((a, b) => (a.entryId < b.entryId ? -1 : 1));
  const inserted = await tx.execute(
    `INSERT INTO public.ledger_receipt (stream, entry_id, outcomes)
     SELECT $1, * FROM unnest($2::text[], $3::text[]) ON CONFLICT DO NOTHING`,
    [stream, sorted.map((receipt) => receipt.entryId), sorted.map((receipt) => receipt.outcomes)],
  );
  return inserted === receipts.length;
}

/** Forgets receipts of entries whose acknowledgement succeeded. */
export async function deleteReceipts(
  db: Queries,
  stream: string,
  entryIds: readonly string[],
): Promise<void> {
  if (entryIds.length === 0) return;
  await db.execute("DELETE FROM public.ledger_receipt WHERE stream = $1 AND entry_id = ANY ($2)", [
    stream,
    entryIds,
  ]);
}

/** Receipts older than `olderThanMs`: the leftovers of workers that were killed right after an acknowledgement. */
export async function listOldReceipts(db: Queries, stream: string, olderThanMs: number): Promise<string[]> {
  const rows = await db.query<{ entry_id: string }>(
    `SELECT entry_id FROM public.ledger_receipt
      WHERE stream = $1 AND created_at < now() - $2 * interval '1 millisecond' LIMIT 10000`,
    [stream, olderThanMs],
  );
  return rows.map((row) => row.entry_id);
}

/** Adds to the totals of `stream`, the last statement of its transaction: the row stays locked until the commit. */
export async function addTotals(tx: Transaction, total: LedgerTotal): Promise<void> {
  await tx.execute(
    `INSERT INTO public.ledger_total AS t (stream, slot, stored, duplicate, quarantined, readings)
     VALUES ($1, pg_backend_pid() % 16, $2, $3, $4, $5)
     ON CONFLICT (stream, slot) DO UPDATE SET stored = t.stored + excluded.stored,
       duplicate = t.duplicate + excluded.duplicate, quarantined = t.quarantined + excluded.quarantined,
       readings = t.readings + excluded.readings`,
    [total.stream, total.stored, total.duplicate, total.quarantined, total.readings],
  );
}

/** Totals per stream. */
export function listTotals(db: Queries): Promise<LedgerTotal[]> {
  return db.query<LedgerTotal>(
    `SELECT stream, sum(stored)::int8 AS stored, sum(duplicate)::int8 AS duplicate,
            sum(quarantined)::int8 AS quarantined, sum(readings)::int8 AS readings
       FROM public.ledger_total GROUP BY stream ORDER BY stream`,
  );
}
