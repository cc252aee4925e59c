import type { TimeRange } from "./job-repository.ts";
import type { Queries } from "./open-db.ts";

/** Numbers of one field of a device in an hour, as stored: not calibrated. */
export interface HourSums {
  device: string;
  field: string;
  hourMs: number;
  n: number;
  sum: number;
  min: number;
  max: number;
}

/** Numbers per hour of every sensor, or of those of `devices`. */
export async function listHourSums(
  db: Queries,
  { fromMs, toMs }: TimeRange,
  devices?: readonly string[],
): Promise<HourSums[]> {
  const rows = await db.query<Omit<HourSums, "hourMs"> & { hour: Date }>(
    `SELECT d.device_code AS device, s.sensor_code AS field, m.hour, m.n, m.sum, m.min, m.max
       FROM (SELECT sensor_id, date_bin(INTERVAL '1 hour', time, TIMESTAMPTZ '1970-01-01 00:00:00+00') AS hour,
                    count(value)::int AS n, sum(value) AS sum, min(value) AS min, max(value) AS max
               FROM public.measurement WHERE time >= $1 AND time < $2 AND value IS NOT NULL
                AND ($3::text[] IS NULL OR sensor_id IN (
                      SELECT s.id FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id
                       WHERE d.device_code = ANY ($3)))
              GROUP BY 1, 2) m
       JOIN iot.sensors s ON s.id = m.sensor_id JOIN iot.devices d ON d.id = s.device_id`,
    [new Date(fromMs), new Date(toMs), devices ?? null],
  );
  return rows.map(({ hour, ...row }) => ({ ...row, hourMs: hour.getTime() }));
}

/** A number as stored. */
export interface StoredReading {
  field: string;
  timeUs: number;
  value: number;
}

/** Every number of a device in a range. */
export function listStoredReadings(
  db: Queries,
  device: string,
  { fromMs, toMs }: TimeRange,
): Promise<StoredReading[]> {
  return db.query<StoredReading>(
    `SELECT s.sensor_code AS field, (date_part('epoch', m.time) * 1e6)::int8 AS "timeUs", m.value
       FROM iot.devices d JOIN iot.sensors s ON s.device_id = d.id
       JOIN public.measurement m ON m.sensor_id = s.id AND m.time >= $2 AND m.time < $3
      WHERE d.device_code = $1 AND m.value IS NOT NULL ORDER BY m.time, s.id`,
    [device, new Date(fromMs), new Date(toMs)],
  );
}

/** A device as points are tagged with it, and up to when retention has taken readings of it away. */
export interface DeviceFacts {
  name: string | null;
  type: string;
  location: string | null;
  goneBeforeMs: number | null;
}

/** What the registry says of a device; undefined where it does not know it. */
export async function findDeviceFacts(db: Queries, device: string): Promise<DeviceFacts | undefined> {
  const [row] = await db.query<Omit<DeviceFacts, "goneBeforeMs"> & { gone: Date | null }>(
    `SELECT d.name, d.device_type AS type, d.location_description AS location,
            (SELECT max(h.horizon) FROM public.retention_horizon h JOIN iot.sensors s ON s.id = h.sensor_id
              WHERE s.device_id = d.id) AS gone
       FROM iot.devices d WHERE d.device_code = $1`,
    [device],
  );
  if (!row) return undefined;
  const { gone, ...facts } = row;
  return { ...facts, goneBeforeMs: gone?.getTime() ?? null };
}

/** What a comparison of the stores came to. */
export interface Reconciliation extends TimeRange {
  hours: number;
  missing: number;
  differing: number;
  extra: number;
  repaired: boolean;
}

/** Keeps what a comparison came to. */
export async function putReconciliation(db: Queries, found: Reconciliation): Promise<void> {
  const { fromMs, toMs, hours, missing, differing, extra, repaired } = found;
  await db.execute(
    `INSERT INTO public.reconciliation (range_from, range_to, hours, missing, differing, extra, repaired)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [new Date(fromMs), new Date(toMs), hours, missing, differing, extra, repaired],
  );
}

/** The latest comparison, with when it ended. */
export async function findReconciliation(
  db: Queries,
): Promise<(Reconciliation & { finishedMs: number }) | undefined> {
  const [row] = await db.query<
    Omit<Reconciliation, "fromMs" | "toMs"> & { from: Date; to: Date; finished: Date }
  >(
    `SELECT range_from AS from, range_to AS to, finished_at AS finished, hours, missing, differing, extra, repaired
       FROM public.reconciliation ORDER BY finished_at DESC LIMIT 1`,
  );
  if (!row) return undefined;
  const { from, to, finished, ...counts } = row;
  return { ...counts, fromMs: from.getTime(), toMs: to.getTime(), finishedMs: finished.getTime() };
}

/** Messages taken off the bus for a group that its consumer still has to get back. */
export async function countParkedMessages(db: Queries, group: string): Promise<number> {
  const [row] = await db.query<{ n: number }>(
    "SELECT coalesce(sum(messages), 0)::int8 AS n FROM public.bus_parked WHERE consumer_group = $1 AND status = 'parked'",
    [group],
  );
  return row?.n ?? 0;
}
