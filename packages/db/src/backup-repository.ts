import type { Db, Queries, Transaction } from "./open-db.ts";

/** What a table holds: its rows, and a sum over them that their order does not change. */
export interface TableSum {
  /** Schema and name. */
  table: string;
  rows: number;
  /** Sum of a 64-bit hash of every row, as a decimal number. */
  checksum: string;
}

/** One instant of the database, for as long as the function runs that got it. */
export interface Snapshot {
  /** What `pg_dump --snapshot` takes. */
  name: string;
  /** Position in the write-ahead log; null on a replica. */
  walPosition: string | null;
  tx: Transaction;
}

/** Runs `work` on one instant of the database, which other sessions may join by name meanwhile. Changes nothing. */
export function withSnapshot<T>(db: Db, work: (snapshot: Snapshot) => Promise<T>): Promise<T> {
  return db.transaction(
    async (tx) => {
      await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY");
      const [row] = await tx.query<{ name: string; wal: string | null }>(
        `SELECT pg_export_snapshot() AS name,
                CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn()::text END AS wal`,
      );
      if (!row) throw new Error("the server exports no snapshot");
      return work({ name: row.name, walPosition: row.wal, tx });
    },
    { statementTimeoutMs: 0 },
  );
}

/**
 * Sums every table of ours, partitions one by one. Rows are compared as text in UTC: two databases with the same
 * sums hold the same rows.
 */
export async function readTableSums(queries: Queries): Promise<TableSum[]> {
  await queries.execute("SELECT set_config('timezone', 'UTC', true)");
  const tables = await queries.query<{ name: string; quoted: string }>(
    `SELECT n.nspname || '.' || c.relname AS name, format('%I.%I', n.nspname, c.relname) AS quoted
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema|_?timescaledb)'
      ORDER BY 1`,
  );
  const sums: TableSum[] = [];
  for (const { name, quoted } of tables) {
    const [sum] = await queries.query<{ rows: number; checksum: string }>(
      `SELECT count(*) AS rows, coalesce(sum(hashtextextended(t::text, 0)), 0)::text AS checksum FROM ${quoted} t`,
    );
    sums.push({ table: name, rows: sum?.rows ?? 0, checksum: sum?.checksum ?? "0" });
  }
  return sums;
}

/** Whether the database has anything of ours, or of anybody's, outside the system's own schemas. */
export async function isEmptyDatabase(queries: Queries): Promise<boolean> {
  const found = await queries.query(
    `SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname !~ '^(pg_|information_schema|_?timescaledb)' LIMIT 1`,
  );
  return found.length === 0;
}

/** Entries that were parked for a group, as {@link takeParked} gives them. */
export interface TakenRange {
  stream: string;
  group: string;
  /** Gzipped JSON of the entries. */
  body: Buffer;
}

/**
 * Takes everything that names entries of a bus which is not there any more: receipts are forgotten, parked ranges are
 * handed to `publish`, which puts them onto the new bus, and removed once that resolves.
 */
export async function leaveOldBus(
  db: Db,
  publish: (range: TakenRange) => Promise<void>,
): Promise<{ receipts: number; ranges: number }> {
  return db.transaction(
    async (tx) => {
      const receipts = await tx.execute("DELETE FROM public.ledger_receipt");
      const ranges = await tx.query<TakenRange>(
        `SELECT stream, consumer_group AS "group", body FROM public.bus_parked
          WHERE status <> 'refilled' ORDER BY stream, from_ordinal`,
      );
      for (const range of ranges) await publish(range);
      await tx.execute("DELETE FROM public.bus_parked WHERE status <> 'refilled'");
      return { receipts, ranges: ranges.length };
    },
    { statementTimeoutMs: 0 },
  );
}
