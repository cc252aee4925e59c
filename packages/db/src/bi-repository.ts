import type { TimeRange } from "./job-repository.ts";
import type { Queries, Transaction } from "./open-db.ts";
import { USABLE } from "./rollup-statements.ts";

/** An hour of a sensor, calibrated, with the zone it was in. */
export interface HourFigures {
  sensorId: number;
  zoneId: number | null;
  hourMs: number;
  n: number;
  mean: number;
  m2: number;
  min: number;
  max: number;
}

/** How the readings of a sensor in a stretch lie to what is planted in its zone. Times in seconds. */
export interface ConditionCounts {
  sensorId: number;
  fromMs: number;
  readings: number;
  optimal: number;
  critical: number;
  heldSeconds: number;
  optimalSeconds: number;
  criticalSeconds: number;
}

/** Key of a figure whose readings changed after its job had passed. */
export interface DueBucket {
  sensorId: number;
  bucketMs: number;
}

/** Names of fields as devices send them, to the sensor type that they are. */
export const FIELD_SENSOR_TYPES: Readonly<Record<string, string>> = {
  temperature: "DHT20_TEMPERATURE",
  humidity: "DHT20_HUMIDITY",
  ph: "PH_SENSOR",
  ec: "EC_SENSOR",
  water_level: "WATER_LEVEL",
  water_temp: "WATER_TEMP",
  light: "LIGHT_LUX",
  light_level: "LIGHT_LUX",
};

/** Metrics that growth stages have ranges for, by sensor type. */
const CONDITION_COLUMNS: Readonly<Record<string, string>> = {
  DHT20_TEMPERATURE: "temp",
  DHT20_HUMIDITY: "humidity",
  PH_SENSOR: "ph",
  EC_SENSOR: "ec",
};

/** Rollup steps and jobs that read rollups come one after the other. */
export async function lockRollups(tx: Transaction): Promise<void> {
  await tx.query("SELECT pg_advisory_xact_lock(5177043), set_config('jit', 'off', true)");
}

/** Gives sensors without a type the one that their field's name tells; how many those were. */
export function linkSensorTypes(db: Queries): Promise<number> {
  return db.execute(
    `UPDATE iot.sensors s SET sensor_type_id = t.id
       FROM jsonb_each_text($1::jsonb) AS f (field, type) JOIN iot.sensor_types t ON t.name = f.type
      WHERE s.sensor_type_id IS NULL AND lower(s.sensor_code) = f.field`,
    [JSON.stringify(FIELD_SENSOR_TYPES)],
  );
}

/** Hours that have values, from the rollups; those of `sensors` or, without, of all. */
export async function listHours(
  db: Queries,
  { fromMs, toMs }: TimeRange,
  sensors?: readonly number[],
): Promise<HourFigures[]> {
  const rows = await db.query<HourFigures & { hour: Date }>(
    // the zone is asked for once where it cannot change: for every hour it cost more than all the rest
    `WITH s AS MATERIALIZED (
       SELECT id, calibration_offset, crop.zone_of(id, $1) AS zone,
              id IN (SELECT sensor_id FROM crop.zone_sensor_assignments) AS moves
         FROM iot.sensors WHERE $3::int[] IS NULL OR id = ANY ($3))
     SELECT r.sensor_id AS "sensorId", CASE WHEN s.moves THEN crop.zone_of(r.sensor_id, r.bucket) ELSE s.zone END AS "zoneId",
            r.bucket AS hour, r.n, r.mean + s.calibration_offset AS mean, r.m2, r.min + s.calibration_offset AS min,
            r.max + s.calibration_offset AS max
       FROM s
      CROSS JOIN LATERAL (SELECT * FROM public.rollup_1h
                           WHERE sensor_id = s.id AND bucket >= $1 AND bucket < $2 AND n > 0 OFFSET 0) r
      ORDER BY r.sensor_id, r.bucket`,
    [new Date(fromMs), new Date(toMs), sensors ?? null],
  );
  return rows.map(({ hour, ...row }) => ({ ...row, hourMs: hour.getTime() }));
}

/**
 * Compares every reading of [fromMs, toMs) with the widest range of the active batches' current stages in the sensor's
 * zone. Sensors whose zone has none, and metrics without a range, are not in the answer.
 */
export async function listConditions(
  db: Queries,
  { fromMs, toMs }: TimeRange,
  sensors?: readonly number[],
): Promise<ConditionCounts[]> {
  const cases = (bound: "min" | "max") =>
    Object.entries(CONDITION_COLUMNS)
      .map(([type, column]) => `WHEN '${type}' THEN g.optimal_${column}_${bound}`)
      .join(" ");
  const rows = await db.query<Omit<ConditionCounts, "fromMs">>(
    `WITH wanted AS (
       SELECT s.id, s.calibration_offset AS shift, s.max_hold, min(CASE t.name ${cases("min")} END)::float8 AS low,
              max(CASE t.name ${cases("max")} END)::float8 AS high
         FROM iot.sensors s JOIN iot.sensor_types t ON t.id = s.sensor_type_id
         JOIN crop.batches b ON b.zone_id = crop.zone_of(s.id, $1) AND b.status = 'active'
         JOIN crop.batch_stages bs ON bs.batch_id = b.id AND bs.ended_at IS NULL
         JOIN crop.growth_stage_definitions g ON g.id = bs.stage_def_id
        WHERE t.name = ANY ($3) AND ($4::int[] IS NULL OR s.id = ANY ($4))
        GROUP BY s.id, t.name)
     SELECT w.id AS "sensorId", x.* FROM wanted w
       LEFT JOIN LATERAL (SELECT time, CASE WHEN ${USABLE} THEN value END AS value FROM public.measurement
                           WHERE sensor_id = w.id AND time < $1 ORDER BY time DESC LIMIT 1) c ON true
      CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE inside) AS readings, count(*) FILTER (WHERE inside AND optimal) AS optimal,
              count(*) FILTER (WHERE inside AND critical) AS critical, coalesce(sum(seconds), 0) AS "heldSeconds",
              coalesce(sum(seconds) FILTER (WHERE optimal), 0) AS "optimalSeconds",
              coalesce(sum(seconds) FILTER (WHERE critical), 0) AS "criticalSeconds"
         FROM (SELECT time >= $1 AS inside, v BETWEEN w.low AND w.high AS optimal,
                      v < w.low - 0.2 * (w.high - w.low) OR v > w.high + 0.2 * (w.high - w.low) AS critical,
                      greatest(0, date_part('epoch', least(after, $2::timestamptz, time + w.max_hold) - greatest(time, $1)))
                        AS seconds, v
                 FROM (SELECT time, v + w.shift AS v, lead(time) OVER (ORDER BY time) AS after
                         FROM (SELECT c.time, c.value AS v WHERE c.time IS NOT NULL
                                UNION ALL
                               SELECT time, CASE WHEN ${USABLE} THEN value END
                                 FROM public.measurement WHERE sensor_id = w.id AND time >= $1 AND time < $2) r) n) k
        WHERE v IS NOT NULL) x
      WHERE w.low IS NOT NULL AND w.high IS NOT NULL`,
    [new Date(fromMs), new Date(toMs), Object.keys(CONDITION_COLUMNS), sensors ?? null],
  );
  return rows.map((row) => ({ ...row, fromMs }));
}

/** Takes up to `limit` buckets that are due again for a job of `bi.due_job`, oldest first. Undone with the transaction. */
export async function takeDue(tx: Transaction, job: string, limit: number): Promise<DueBucket[]> {
  const rows = await tx.query<{ sensor_id: number; bucket: Date }>(
    `DELETE FROM bi.due d USING (SELECT sensor_id, bucket FROM bi.due WHERE job = $1 ORDER BY bucket, sensor_id LIMIT $2) n
      WHERE d.job = $1 AND d.sensor_id = n.sensor_id AND d.bucket = n.bucket RETURNING d.sensor_id, d.bucket`,
    [job, limit],
  );
  return rows.map((row) => ({ sensorId: row.sensor_id, bucketMs: row.bucket.getTime() }));
}

/** Deletes hourly figures older than `beforeMs`, and notes it under data retention; how many those were. */
export async function purgeHours(tx: Transaction, beforeMs: number): Promise<number> {
  const purged = await tx.execute("DELETE FROM bi.hourly_sensor_agg WHERE hour_start < $1", [
    new Date(beforeMs),
  ]);
  await tx.execute(
    `UPDATE audit.data_retention SET last_purge_at = now(), rows_purged = rows_purged + $1
      WHERE table_name = 'hourly_sensor_agg'`,
    [purged],
  );
  return purged;
}

/** How many hourly figures are older than `beforeMs`. */
export async function countHoursBefore(db: Queries, beforeMs: number): Promise<number> {
  const [row] = await db.query<{ n: number }>(
    "SELECT count(*) AS n FROM bi.hourly_sensor_agg WHERE hour_start < $1",
    [new Date(beforeMs)],
  );
  return row?.n ?? 0;
}

/** Rows of the BI tables, sensors with a type, and the watermarks as they are stored. */
export async function getEtlFacts(db: Queries): Promise<{
  hourlyRows: number;
  dailyRows: number;
  sensorMappings: number;
  watermarks: Record<string, unknown>;
}> {
  const [row] = await db.query<{
    hourly: number;
    daily: number;
    mappings: number;
    marks: Record<string, unknown> | null;
  }>(
    `SELECT (SELECT count(*) FROM bi.hourly_sensor_agg) AS hourly, (SELECT count(*) FROM bi.daily_sensor_agg) AS daily,
            (SELECT count(*) FROM iot.sensors WHERE sensor_type_id IS NOT NULL) AS mappings,
            (SELECT jsonb_object_agg(key, value) FROM core.system_config WHERE key LIKE 'etl\\_%\\_watermark') AS marks`,
  );
  return {
    hourlyRows: row?.hourly ?? 0,
    dailyRows: row?.daily ?? 0,
    sensorMappings: row?.mappings ?? 0,
    watermarks: row?.marks ?? {},
  };
}

/** A sensor as the ETL needs it. */
export interface SensorFacts {
  id: number;
  device: string;
  field: string;
  calibrationOffset: number;
}

/** Registers devices and numeric sensors that are not known yet, and gives the facts of all. */
export async function registerSensors(
  tx: Queries,
  pairs: readonly { device: string; field: string }[],
): Promise<SensorFacts[]> {
  const params = [pairs.map(({ device }) => device), pairs.map(({ field }) => field)];
  await tx.execute(
    `INSERT INTO iot.devices (device_code) SELECT DISTINCT d FROM unnest($1::text[]) d ORDER BY d
     ON CONFLICT (device_code) DO NOTHING`,
    params.slice(0, 1),
  );
  await tx.execute(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type)
     SELECT d.id, p.field, 'number' FROM unnest($1::text[], $2::text[]) p (device, field)
       JOIN iot.devices d ON d.device_code = p.device ORDER BY d.id, p.field
     ON CONFLICT (device_id, sensor_code) DO NOTHING`,
    params,
  );
  return tx.query<SensorFacts>(
    `SELECT s.id, p.device, p.field, s.calibration_offset AS "calibrationOffset"
       FROM unnest($1::text[], $2::text[]) p (device, field) JOIN iot.devices d ON d.device_code = p.device
       JOIN iot.sensors s ON s.device_id = d.id AND s.sensor_code = p.field`,
    params,
  );
}

/** Zones of sensors at instants: parallel to what is asked. */
export async function listZones(
  db: Queries,
  asked: readonly { sensorId: number; atMs: number }[],
): Promise<(number | null)[]> {
  const rows = await db.query<{ zone: number | null }>(
    `SELECT crop.zone_of(a.sensor, a.at) AS zone
       FROM unnest($1::int[], $2::timestamptz[]) WITH ORDINALITY AS a (sensor, at, ord) ORDER BY a.ord`,
    [asked.map(({ sensorId }) => sensorId), asked.map(({ atMs }) => new Date(atMs))],
  );
  return rows.map(({ zone }) => zone);
}
