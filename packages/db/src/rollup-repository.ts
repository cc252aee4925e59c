import { int4Array, timestampArray } from "./binary-array.ts";
import type { Queries, Transaction } from "./open-db.ts";
import { neighbour } from "./rollup-statements.ts";

/** Advisory lock of the rollup watermark: writers of readings share it, whoever moves the watermark has it alone. */
export const ROLLUP_LOCK = 5_177_042;

/** Readings of one sensor, from the first to the last one changed. */
export interface TouchedRange {
  sensorId: number;
  fromUs: number;
  toUs: number;
}

/**
 * Takes the shared lock and reads up to where readings are rolled up, in microseconds; -Infinity where nothing is.
 * The first statement of a transaction that writes readings.
 */
export async function holdWatermark(tx: Transaction): Promise<number> {
  const [, [row]] = await Promise.all([
    tx.query("SELECT pg_advisory_xact_lock_shared($1)", [ROLLUP_LOCK]),
    tx.query<{ us: number | null }>(
      "SELECT (extract(epoch FROM max(watermark)) * 1e6)::float8 AS us FROM public.rollup_watermark",
    ),
  ]);
  return row?.us ?? Number.NEGATIVE_INFINITY;
}

/**
 * Marks what has to be rolled up again: from the 5-minute bucket of the first change through to the next reading
 * after the last one, because a value is carried until then. Called after the readings are written.
 */
export async function markDirty(tx: Queries, ranges: readonly TouchedRange[]): Promise<void> {
  if (ranges.length === 0) return;
  await tx.execute(
    `INSERT INTO public.rollup_dirty (sensor_id, from_time, to_time)
     SELECT s, date_bin('5 minutes', f, 'epoch'),
            (SELECT time FROM (${neighbour("s", ">", "t")}) next)
       FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) AS n(s, f, t)`,
    [
      int4Array(ranges.map((range) => range.sensorId)),
      timestampArray(ranges.map((range) => range.fromUs)),
      timestampArray(ranges.map((range) => range.toUs)),
    ],
  );
}
