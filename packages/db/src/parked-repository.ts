import type { Db, Queries, Transaction } from "./open-db.ts";

/** What was taken off the bus for a group: one row for a run of entries. */
export interface ParkedRange {
  id: string;
  stream: string;
  group: string;
  fromEntry: string;
  toEntry: string;
  fromOrdinal: number;
  toOrdinal: number;
  messages: number;
}

/** A range whose entries are still to be processed. */
export interface WaitingRange extends ParkedRange {
  /** Gzipped JSON of the entries. */
  body: Buffer;
}

const COLUMNS = `id, stream, consumer_group AS "group", from_entry AS "fromEntry", to_entry AS "toEntry",
  from_ordinal AS "fromOrdinal", to_ordinal AS "toOrdinal", messages`;

/** Keeps a range before it is taken off the bus. */
export async function prepareParked(db: Queries, range: WaitingRange): Promise<void> {
  await db.execute(
    `INSERT INTO public.bus_parked (id, stream, consumer_group, from_entry, to_entry, from_ordinal, to_ordinal, messages, body)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [
      range.id,
      range.stream,
      range.group,
      range.fromEntry,
      range.toEntry,
      range.fromOrdinal,
      range.toOrdinal,
      range.messages,
      range.body,
    ],
  );
}

/** It is off the bus now. */
export async function confirmParked(db: Queries, id: string): Promise<void> {
  await db.execute("UPDATE public.bus_parked SET status = 'parked' WHERE id = $1 AND status = 'preparing'", [
    id,
  ]);
}

/** It was not taken off the bus after all. */
export async function dropParked(db: Queries, id: string): Promise<void> {
  await db.execute("DELETE FROM public.bus_parked WHERE id = $1 AND status = 'preparing'", [id]);
}

/** Ranges that were kept longer than `olderThanMs` ago and not confirmed since: whoever kept them died. */
export function listUnconfirmed(db: Queries, olderThanMs: number): Promise<ParkedRange[]> {
  return db.query<ParkedRange>(
    `SELECT ${COLUMNS} FROM public.bus_parked
      WHERE status = 'preparing' AND parked_at < now() - $1 * interval '1 millisecond' LIMIT 1000`,
    [olderThanMs],
  );
}

/** Bytes that parked entries take. */
export async function sizeOfParked(db: Queries): Promise<number> {
  const [row] = await db.query<{ bytes: number }>(
    "SELECT coalesce(sum(octet_length(body)), 0)::int8 AS bytes FROM public.bus_parked WHERE status <> 'refilled'",
  );
  return row?.bytes ?? 0;
}

/**
 * Hands the oldest waiting range of `group` to `refill`, locked so that nobody else has it, and marks it as refilled
 * once that resolves. False where none waits. It is handed out again if the process dies: refilling twice must do
 * no harm.
 */
export function refillParked(
  db: Db,
  group: string,
  refill: (range: WaitingRange) => Promise<void>,
): Promise<boolean> {
  return db.transaction(async (tx: Transaction) => {
    const [range] = await tx.query<WaitingRange>(
      `SELECT ${COLUMNS}, body FROM public.bus_parked WHERE consumer_group = $1 AND status = 'parked'
        ORDER BY from_ordinal LIMIT 1 FOR UPDATE SKIP LOCKED`,
      [group],
    );
    if (!range) return false;
    await refill(range);
    await tx.execute(
      "UPDATE public.bus_parked SET status = 'refilled', body = NULL, refilled_at = now() WHERE id = $1",
      [range.id],
    );
    return true;
  });
}

/** Forgets ranges that were refilled long ago. */
export async function forgetRefilled(db: Queries, olderThanMs: number): Promise<void> {
  await db.execute(
    "DELETE FROM public.bus_parked WHERE status = 'refilled' AND refilled_at < now() - $1 * interval '1 millisecond'",
    [olderThanMs],
  );
}

/** Whether an entry is parked for a group, and since when it is refilled. */
export function findParkedEntry(
  db: Queries,
  stream: string,
  ordinal: number,
): Promise<{ group: string; status: string; refilledAt: Date | null }[]> {
  return db.query(
    `SELECT consumer_group AS "group", status, refilled_at AS "refilledAt" FROM public.bus_parked
      WHERE stream = $1 AND $2 BETWEEN from_ordinal AND to_ordinal`,
    [stream, ordinal],
  );
}
