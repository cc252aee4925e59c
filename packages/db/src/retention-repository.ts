import type { Db, Queries } from "./open-db.ts";
import { ROLLUP_LOCK } from "./rollup-repository.ts";

/** Tables whose rows may be given a time to live. */
export type RetainedTable = "measurement" | "measurement_text" | "rollup_5m" | "rollup_1h" | "rollup_1d";

/** What a purge did to one table. */
export interface PurgeResult {
  table: RetainedTable;
  /** Rows deleted; with `dryRun` those that would be. */
  rows: number;
  /** Sensors of which something old enough was kept because it is not rolled up yet. */
  held: number;
}

const TIME_COLUMN: Readonly<Record<RetainedTable, "time" | "bucket">> = {
  measurement: "time",
  measurement_text: "time",
  rollup_5m: "bucket",
  rollup_1h: "bucket",
  rollup_1d: "bucket",
};
const TABLES = Object.keys(TIME_COLUMN) as RetainedTable[];
const ROWS_PER_DELETE = 50_000;
/** A day that readings are still in needs all its 5-minute rows, in any zone. */
const SPARE_DAYS = 2;

interface Limit {
  sensor_id: number;
  /** Rows before it go. */
  before: Date;
  held: boolean;
}

/**
 * Deletes what is older than its policy, in short transactions. Readings go only where they are rolled up and no
 * repair waits for them, and the last one before the limit stays: its value holds beyond it. With `dryRun` only counts.
 */
export async function purgeRetained(
  db: Db,
  { nowMs, dryRun = false }: { nowMs: number; dryRun?: boolean },
): Promise<PurgeResult[]> {
  const results: PurgeResult[] = [];
  for (const table of TABLES) {
    const limits = await findLimits(db, table, nowMs);
    if (limits.length === 0) continue;
    const held = limits.filter((limit) => limit.held).length;
    let rows = 0;
    for (const limit of limits) {
      if (dryRun) rows += await countBefore(db, table, limit);
      else rows += await purgeSensor(db, table, limit);
    }
    if (!dryRun) await notePurge(db, table, rows);
    results.push({ table, rows, held });
  }
  return results;
}

/** Policies by sensor, with the limits that what is not rolled up yet sets. */
async function findLimits(db: Queries, table: RetainedTable, nowMs: number): Promise<Limit[]> {
  return db.query<Limit>(
    `WITH wanted AS (
       SELECT s.id, public.retention_days_of($1, s.id) AS days, public.retention_days_of('measurement', s.id) AS raw_days
         FROM iot.sensors s
     ), limits AS (
       SELECT id, date_trunc('day', $2::timestamptz - CASE WHEN $1 = 'rollup_5m' THEN greatest(days, raw_days + $3) ELSE days END
                * INTERVAL '1 day', 'UTC') AS wanted,
              CASE WHEN $1 = 'measurement' THEN least(
                coalesce((SELECT watermark FROM public.rollup_watermark WHERE name = 'done'), '-infinity'),
                (SELECT min(from_time) FROM public.rollup_dirty d WHERE d.sensor_id = wanted.id)) ELSE 'infinity' END AS safe
         FROM wanted WHERE days IS NOT NULL AND ($1 <> 'rollup_5m' OR raw_days IS NOT NULL)
     )
     SELECT id AS sensor_id, safe < wanted AS held,
            CASE WHEN safe < wanted THEN date_bin('5 minutes', safe, 'epoch') ELSE wanted END AS before
       FROM limits WHERE safe > '-infinity'`,
    [table, new Date(nowMs), SPARE_DAYS],
  );
}

const lastKept = (table: RetainedTable) =>
  table === "measurement"
    ? "coalesce((SELECT max(time) FROM public.measurement WHERE sensor_id = $1 AND time < $2), $2)"
    : "$2::timestamptz";

async function countBefore(db: Queries, table: RetainedTable, { sensor_id, before }: Limit): Promise<number> {
  const [row] = await db.query<{ n: number }>(
    `SELECT count(*) AS n FROM public.${table} WHERE sensor_id = $1 AND ${TIME_COLUMN[table]} < ${lastKept(table)}`,
    [sensor_id, before],
  );
  return row?.n ?? 0;
}

async function purgeSensor(db: Db, table: RetainedTable, limit: Limit): Promise<number> {
  const { sensor_id, before } = limit;
  if (table === "measurement" && !(await moveHorizon(db, limit))) return 0;
  const column = TIME_COLUMN[table];
  let rows = 0;
  for (;;) {
    const deleted = await db.execute(
      `DELETE FROM public.${table} WHERE sensor_id = $1 AND ${column} < ${lastKept(table)} AND ${column} <= (
         SELECT max(o.${column}) FROM (SELECT ${column} FROM public.${table} WHERE sensor_id = $1
                                        ORDER BY ${column} LIMIT ${ROWS_PER_DELETE}) o)`,
      [sensor_id, before],
    );
    rows += deleted;
    if (deleted < ROWS_PER_DELETE) return rows;
  }
}

/** While no writer is between reading the watermark and marking: false where a mark came meanwhile. */
async function moveHorizon(db: Db, { sensor_id, before }: Limit): Promise<boolean> {
  return db.transaction(async (tx) => {
    await tx.query("SELECT pg_advisory_xact_lock($1)", [ROLLUP_LOCK]);
    const moved = await tx.execute(
      `INSERT INTO public.retention_horizon AS h (sensor_id, horizon)
       SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM public.rollup_dirty WHERE sensor_id = $1 AND from_time < $2)
       ON CONFLICT (sensor_id) DO UPDATE SET horizon = greatest(h.horizon, excluded.horizon)`,
      [sensor_id, before],
    );
    return moved > 0;
  });
}

async function notePurge(db: Db, table: RetainedTable, rows: number): Promise<void> {
  await db.execute(
    `UPDATE public.retention_policy SET last_purge_at = now(), rows_purged = rows_purged + $2
      WHERE table_name = $1 AND is_active`,
    [table, rows],
  );
}
