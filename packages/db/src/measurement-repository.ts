import { float8Array, int4Array, timestampArray } from "./binary-array.ts";
import { encodeCopy, type MeasurementRows } from "./measurement-rows.ts";
import type { Db, Transaction } from "./open-db.ts";

/** A string reading. */
export interface TextRow {
  sensorId: number;
  timeUs: number;
  text: string;
  clock: number;
  message: number;
}

const WEEK_US = 7 * 86_400_000_000;
const MONDAY_US = 4 * 86_400_000_000; // 1970-01-05 was a Monday
const PARTITIONED_FROM_US = Date.UTC(1990, 0, 1) * 1000;
const PARTITIONED_AHEAD_US = 400 * 86_400_000_000;

/** Which week a time falls in; weeks are the unit of partitions. */
export const weekOf = (timeUs: number): number => Math.floor((timeUs - MONDAY_US) / WEEK_US);

/**
 * Makes the partitions of `weeks` (see {@link weekOf}), outside any transaction that writes readings. Weeks before
 * 1990 or more than a year ahead are left to the default partition.
 */
export async function ensurePartitions(db: Db, weeks: Iterable<number>): Promise<void> {
  for (const week of [...weeks].sort((a, b) => a - b)) {
    const startUs = week * WEEK_US + MONDAY_US;
    if (startUs < PARTITIONED_FROM_US || startUs > Date.now() * 1000 + PARTITIONED_AHEAD_US) continue;
    const at = new Date(startUs / 1000);
    await db.transaction((tx) => tx.query("SELECT public.ensure_measurement_partition($1, $1)", [at]));
  }
}

/**
 * Adds rows that are all new, in `order`: half the cost of asking about each.
 * @throws InvalidInputError caused by 23505 where one of them is there already
 */
export async function copyMeasurements(
  tx: Transaction,
  rows: MeasurementRows,
  order: Int32Array,
): Promise<void> {
  if (order.length === 0) return;
  const { statement, data } = encodeCopy(rows, order);
  await tx.copyIn(statement, data);
}

/** Adds the rows that are not there yet, in `order`; how many those were. */
export async function insertMeasurements(
  tx: Transaction,
  rows: MeasurementRows,
  order: Int32Array,
): Promise<number> {
  if (order.length === 0) return 0;
  return tx.execute(
    `INSERT INTO public.measurement (sensor_id, time, value, status, clock)
     SELECT s, t, v, CASE WHEN v IS NULL THEN 'error' ELSE 'ok' END, c
       FROM unnest($1::int[], $2::timestamptz[], $3::float8[], $4::int[]) AS n(s, t, v, c)
     ON CONFLICT (sensor_id, time) DO NOTHING`,
    [
      int4Array(rows.sensorIds, order),
      timestampArray(rows.timesUs, order),
      float8Array(rows.values, order),
      int4Array(rows.clocks, order),
    ],
  );
}

/** What is stored under the keys of `rows` at `order`: row index to value, NaN for none. */
export async function findMeasurements(
  tx: Transaction,
  rows: MeasurementRows,
  order: Int32Array,
): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  if (order.length === 0) return found;
  const range = minMax(Array.from(order, (row) => rows.timesUs[row] as number));
  const existing = await tx.query<{ ord: number; value: number | null }>(
    `SELECT n.ord, m.value FROM unnest($1::int[], $2::timestamptz[]) WITH ORDINALITY AS n(s, t, ord)
       JOIN public.measurement m ON m.sensor_id = n.s AND m.time = n.t
      WHERE m.time BETWEEN ($3::timestamptz[])[1] AND ($3::timestamptz[])[2]`,
    [int4Array(rows.sensorIds, order), timestampArray(rows.timesUs, order), timestampArray(range)],
  );
  for (const { ord, value } of existing) found.set(order[ord - 1] as number, value ?? Number.NaN);
  return found;
}

/** Those of `order` whose sensor had the very same value at some time of the day before. */
export async function findEchoes(
  tx: Transaction,
  rows: MeasurementRows,
  order: Int32Array,
): Promise<Set<number>> {
  if (order.length === 0) return new Set();
  const found = await tx.query<{ ord: number }>(
    `SELECT n.ord FROM unnest($1::int[], $2::timestamptz[], $3::float8[]) WITH ORDINALITY AS n(s, t, v, ord)
      WHERE EXISTS (SELECT FROM public.measurement m WHERE m.sensor_id = n.s
                      AND m.time BETWEEN n.t - interval '1 day' AND n.t + interval '1 hour'
                      AND m.value IS NOT DISTINCT FROM n.v)`,
    [int4Array(rows.sensorIds, order), timestampArray(rows.timesUs, order), float8Array(rows.values, order)],
  );
  return new Set(found.map(({ ord }) => order[ord - 1] as number));
}

/** Adds string readings that are not there yet, sorted by key; how many those were. */
export async function insertTexts(tx: Transaction, rows: readonly TextRow[]): Promise<number> {
  if (rows.length === 0) return 0;
  return tx.execute(
    `INSERT INTO public.measurement_text (sensor_id, time, value, clock)
     SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::text[], $4::int[])
     ON CONFLICT (sensor_id, time) DO NOTHING`,
    [
      int4Array(rows.map((row) => row.sensorId)),
      timestampArray(rows.map((row) => row.timeUs)),
      rows.map((row) => row.text),
      int4Array(rows.map((row) => row.clock)),
    ],
  );
}

/** What is stored under the keys of `rows`: index to text. */
export async function findTexts(tx: Transaction, rows: readonly TextRow[]): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  if (rows.length === 0) return found;
  const existing = await tx.query<{ ord: number; value: string }>(
    `SELECT n.ord, m.value FROM unnest($1::int[], $2::timestamptz[]) WITH ORDINALITY AS n(s, t, ord)
       JOIN public.measurement_text m ON m.sensor_id = n.s AND m.time = n.t`,
    [int4Array(rows.map((row) => row.sensorId)), timestampArray(rows.map((row) => row.timeUs))],
  );
  for (const { ord, value } of existing) found.set(ord - 1, value);
  return found;
}

/** Marks readings whose device gave an impossible time; the server's was taken instead. */
export async function insertClockFlags(
  tx: Transaction,
  flags: readonly { sensorId: number; timeUs: number; flag: string }[],
): Promise<void> {
  if (flags.length === 0) return;
  await tx.execute(
    `INSERT INTO public.quality_flag (sensor_id, time, flags)
     SELECT s, t, ARRAY[f] FROM unnest($1::int[], $2::timestamptz[], $3::text[]) AS n(s, t, f)
     ON CONFLICT (sensor_id, time) DO UPDATE SET flags = quality_flag.flags || excluded.flags
      WHERE NOT quality_flag.flags @> excluded.flags`,
    [
      int4Array(flags.map((row) => row.sensorId)),
      timestampArray(flags.map((row) => row.timeUs)),
      flags.map((row) => row.flag),
    ],
  );
}

function minMax(values: readonly number[]): [number, number] {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return [min, max];
}
