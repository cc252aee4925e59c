import { int4Array, timestampArray } from "./binary-array.ts";
import type { Queries, Transaction } from "./open-db.ts";

/** A sensor as far as rules and quality checks need to know it. */
export interface WatchedSensor {
  id: number;
  code: string;
  /** Name of its type; null where nobody has said it. */
  type: string | null;
  unit: string | null;
  /** `text` sensors are not watched. */
  valueType: "number" | "text" | null;
  /** Added to what is sent. */
  offset: number;
  /** Seconds; null where unknown. */
  sampleInterval: number | null;
  expectedMin: number | null;
  expectedMax: number | null;
}

/** A device with its sensors. */
export interface WatchedDevice {
  id: number;
  code: string;
  facilityId: number;
  sensors: WatchedSensor[];
}

/** The devices of these codes that are registered. */
export async function findWatchedDevices(db: Queries, codes: readonly string[]): Promise<WatchedDevice[]> {
  if (codes.length === 0) return [];
  const rows = await db.query<
    WatchedSensor & { deviceId: number; device: string; facilityId: number; id: number | null }
  >(
    `SELECT d.id AS "deviceId", d.device_code AS device, d.facility_id AS "facilityId", s.id, s.sensor_code AS code,
            t.name AS type, coalesce(s.unit, t.measurement_unit) AS unit, s.value_type AS "valueType",
            s.calibration_offset AS "offset",
            extract(epoch FROM s.sample_interval)::float8 AS "sampleInterval",
            t.expected_range_min::float8 AS "expectedMin", t.expected_range_max::float8 AS "expectedMax"
       FROM iot.devices d LEFT JOIN iot.sensors s ON s.device_id = d.id LEFT JOIN iot.sensor_types t ON t.id = s.sensor_type_id
      WHERE d.device_code = ANY ($1)`,
    [codes],
  );
  const devices = new Map<number, WatchedDevice>();
  for (const { deviceId, device, facilityId, ...sensor } of rows) {
    const known = devices.get(deviceId) ?? { id: deviceId, code: device, facilityId, sensors: [] };
    devices.set(deviceId, known);
    if (sensor.id !== null) known.sensors.push(sensor);
  }
  return [...devices.values()];
}

/** Limits of readings for a sensor type, a sensor's own name, or `*`. */
export interface QualityThreshold {
  sensorType: string;
  min: number | null;
  max: number | null;
  spike: number | null;
  ratePerMinute: number | null;
  flatCount: number | null;
  flatMinutes: number;
  gapSeconds: number | null;
}

/** Every threshold, by what it is for. */
export function listQualityThresholds(db: Queries): Promise<QualityThreshold[]> {
  return db.query<QualityThreshold>(
    `SELECT sensor_type AS "sensorType", range_min AS min, range_max AS max, spike, rate_per_minute AS "ratePerMinute",
            flat_count AS "flatCount", flat_minutes AS "flatMinutes", gap_seconds AS "gapSeconds"
       FROM public.quality_threshold ORDER BY sensor_type`,
  );
}

/** Changes whenever a rule or a threshold does. */
export async function findRuleEdition(db: Queries): Promise<string> {
  const [row] = await db.query<{ edition: string }>(
    `SELECT (SELECT format('%s/%s/%s', count(*), max(id), sum(version)) FROM alert.rules) || ' ' ||
            (SELECT format('%s/%s', count(*), max(updated_at)) FROM public.quality_threshold) AS edition`,
  );
  return row?.edition ?? "";
}

/** Sets the limits of a sensor type. */
export async function putQualityThreshold(db: Queries, limits: QualityThreshold): Promise<void> {
  await db.execute(
    `INSERT INTO public.quality_threshold (sensor_type, range_min, range_max, spike, rate_per_minute, flat_count,
                                           flat_minutes, gap_seconds)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (sensor_type) DO UPDATE SET range_min = excluded.range_min, range_max = excluded.range_max,
       spike = excluded.spike, rate_per_minute = excluded.rate_per_minute, flat_count = excluded.flat_count,
       flat_minutes = excluded.flat_minutes, gap_seconds = excluded.gap_seconds, updated_at = now()`,
    [
      limits.sensorType,
      limits.min,
      limits.max,
      limits.spike,
      limits.ratePerMinute,
      limits.flatCount,
      limits.flatMinutes,
      limits.gapSeconds,
    ],
  );
}

/** What is remembered of sensors, by id, locked until the transaction ends. */
export async function lockSensorStates<S>(
  tx: Transaction,
  sensorIds: readonly number[],
): Promise<Map<number, S>> {
  if (sensorIds.length === 0) return new Map();
  const rows = await tx.query<{ id: number; state: S }>(
    "SELECT sensor_id AS id, state FROM alert.sensor_state WHERE sensor_id = ANY ($1::int[]) ORDER BY sensor_id FOR UPDATE",
    [int4Array(sensorIds)],
  );
  return new Map(rows.map(({ id, state }) => [id, state]));
}

/** Remembers this of sensors. */
export async function putSensorStates<S>(tx: Transaction, states: ReadonlyMap<number, S>): Promise<void> {
  if (states.size === 0) return;
  const sorted = [...states].sort(([a], [b]) => a - b);
  await tx.execute(
    `INSERT INTO alert.sensor_state (sensor_id, state)
     SELECT n.id, n.state::jsonb FROM unnest($1::int[], $2::text[]) AS n(id, state)
       JOIN iot.sensors s ON s.id = n.id
     ON CONFLICT (sensor_id) DO UPDATE SET state = excluded.state`,
    [int4Array(sorted.map(([id]) => id)), sorted.map(([, state]) => JSON.stringify(state))],
  );
}

/** When devices were last heard; `offlineUs` where the last they said was that they go. */
export async function putDevicesSeen(
  tx: Transaction,
  seen: readonly { deviceId: number; seenUs: number; offlineUs: number | null }[],
): Promise<void> {
  if (seen.length === 0) return;
  const sorted = [...seen].sort((a, b) => a.deviceId - b.deviceId);
  await tx.execute(
    `INSERT INTO alert.device_seen AS s (device_id, seen_at, offline_at)
     SELECT n.id, n.seen, n.gone FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) AS n(id, seen, gone)
       JOIN iot.devices d ON d.id = n.id
     ON CONFLICT (device_id) DO UPDATE SET seen_at = greatest(s.seen_at, excluded.seen_at), offline_at = excluded.offline_at`,
    [
      int4Array(sorted.map(({ deviceId }) => deviceId)),
      timestampArray(sorted.map(({ seenUs }) => seenUs)),
      timestampOrNull(sorted.map(({ offlineUs }) => offlineUs)),
    ],
  );
}

const timestampOrNull = (us: readonly (number | null)[]) =>
  us.map((one) => (one === null ? null : new Date(one / 1000).toISOString()));

/**
 * Notes that somebody listens, and gives since when that has been so without a break of more than a minute: what was
 * silent before cannot be told from what nobody heard.
 */
export async function noteListening(db: Queries): Promise<number> {
  const [row] = await db.query<{ since: Date }>(
    `INSERT INTO alert.listening AS l DEFAULT VALUES
     ON CONFLICT (one) DO UPDATE SET until = now(),
       since = CASE WHEN l.until < now() - INTERVAL '1 minute' THEN now() ELSE l.since END
     RETURNING since`,
  );
  return (row as { since: Date }).since.getTime();
}

/** Flags of a reading. */
export interface ReadingFlags {
  sensorId: number;
  timeUs: number;
  flags: readonly string[];
}

/** Adds flags to those that readings have. */
export async function addQualityFlags(tx: Transaction, readings: readonly ReadingFlags[]): Promise<void> {
  if (readings.length === 0) return;
  await tx.execute(
    `INSERT INTO public.quality_flag AS q (sensor_id, time, flags)
     SELECT s, t, array_agg(DISTINCT f ORDER BY f) FROM unnest($1::int[], $2::timestamptz[], $3::text[]) AS n(s, t, fs),
            unnest(string_to_array(fs, ' ')) f GROUP BY s, t ORDER BY s, t
     ON CONFLICT (sensor_id, time) DO UPDATE
        SET flags = (SELECT array_agg(DISTINCT f ORDER BY f) FROM unnest(q.flags || excluded.flags) f)
      WHERE NOT q.flags @> excluded.flags`,
    flagParameters(readings),
  );
}

/** Takes flags off readings: those named, of the reading at that very time. */
export async function dropQualityFlags(tx: Transaction, readings: readonly ReadingFlags[]): Promise<void> {
  if (readings.length === 0) return;
  const of =
    "unnest($1::int[], $2::timestamptz[], $3::text[]) AS n(s, t, fs) WHERE q.sensor_id = n.s AND q.time = n.t";
  const named = "string_to_array(n.fs, ' ')";
  await tx.execute(
    `DELETE FROM public.quality_flag q USING ${of} AND q.flags <@ ${named}`,
    flagParameters(readings),
  );
  await tx.execute(
    `UPDATE public.quality_flag q SET flags = ARRAY(SELECT f FROM unnest(q.flags) f WHERE f <> ALL (${named}))
       FROM ${of} AND q.flags && ${named}`,
    flagParameters(readings),
  );
}

function flagParameters(readings: readonly ReadingFlags[]): unknown[] {
  return [
    int4Array(readings.map(({ sensorId }) => sensorId)),
    timestampArray(readings.map(({ timeUs }) => timeUs)),
    readings.map(({ flags }) => flags.join(" ")),
  ];
}

/** A reading that came late closes the gap of the next one, where it is near enough. */
export async function closeGaps(
  tx: Transaction,
  late: readonly { sensorId: number; timeUs: number; gapUs: number }[],
): Promise<void> {
  if (late.length === 0) return;
  const near = `unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) AS n(s, t, until)
      WHERE q.sensor_id = n.s AND q.time > n.t AND q.time <= n.until`;
  const params = [
    int4Array(late.map(({ sensorId }) => sensorId)),
    timestampArray(late.map(({ timeUs }) => timeUs)),
    timestampArray(late.map(({ timeUs, gapUs }) => timeUs + gapUs)),
  ];
  await tx.execute(`DELETE FROM public.quality_flag q USING ${near} AND q.flags = '{gap}'`, params);
  await tx.execute(
    `UPDATE public.quality_flag q SET flags = array_remove(q.flags, 'gap') FROM ${near} AND 'gap' = ANY (q.flags)`,
    params,
  );
}

/** Forgets receipts that alert-workers left behind when they were killed: what is delivered again by then is late anyway. */
export function purgeAlertReceipts(db: Queries): Promise<number> {
  return db.execute(
    "DELETE FROM public.ledger_receipt WHERE stream LIKE 'alerts of %' AND created_at < now() - INTERVAL '1 day'",
  );
}

/** How a job has been doing. */
export interface JobFreshness {
  job: string;
  /** null: never in the last thirty days. */
  lastSuccess: Date | null;
  /** Windows that failed and are due again. */
  failedWindows: number;
}

/** Every job that ran in the last thirty days, and the rollups, whose success is how far they have come. */
export function listJobFreshness(db: Queries): Promise<JobFreshness[]> {
  return db.query<JobFreshness>(
    `SELECT j.job_name AS job, max(j.completed_at) FILTER (WHERE j.status = 'completed') AS "lastSuccess",
            (SELECT count(*) FROM public.etl_failed_window w WHERE w.job_name = j.job_name)::int AS "failedWindows"
       FROM public.processing_jobs j WHERE j.created_at > now() - INTERVAL '30 days' GROUP BY j.job_name
     UNION ALL SELECT 'rollup', watermark, 0 FROM public.rollup_watermark WHERE name = 'done' AND isfinite(watermark)
     ORDER BY 1`,
  );
}
