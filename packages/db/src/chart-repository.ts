import { NotFoundError } from "@sluice/shared-types";
import { readTimestamp, viewOf, writeTimestamp } from "./binary-array.ts";
import type { Queries } from "./open-db.ts";

/** A sensor as charts need it. */
export interface ChartSensor {
  id: number;
  device: string;
  field: string;
  unit: string | null;
  valueType: "number" | "text" | null;
  /** Added to every value that is read. */
  calibrationOffset: number;
  /** How often it is meant to send; null where nobody said so. */
  sampleIntervalMs: number | null;
}

/** A reading, calibrated. */
export interface ChartReading {
  timeUs: number;
  value: number | string | null;
  status: string;
  /** Doubts about it. */
  flags: string[] | null;
}

/** What a stretch of time amounts to, calibrated. */
export interface ChartBucket {
  timeUs: number;
  /** Mean of the readings. */
  value: number;
  min: number;
  max: number;
  n: number;
}

/** Length of a stretch; a day is one of the facility's zone. */
export type ChartStep = "5m" | "1h" | "1d";

const SENSOR = `SELECT s.id, d.device_code AS device, s.sensor_code AS field, coalesce(s.unit, t.measurement_unit) AS unit,
       s.value_type AS "valueType", s.calibration_offset AS "calibrationOffset",
       (extract(epoch FROM s.sample_interval) * 1000)::float8 AS "sampleIntervalMs"
  FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id LEFT JOIN iot.sensor_types t ON t.id = s.sensor_type_id`;

/** Names a sensor: by its number, or by device and field. */
export type SensorRef = { id: number } | { device: string; field: string };

/** What finds a sensor; its parameters are the last ones, from `$first` on. */
const whereSensor = (ref: SensorRef, first: number): { where: string; params: unknown[] } =>
  "id" in ref
    ? { where: `s.id = $${first}`, params: [ref.id] }
    : {
        where: `d.device_code = $${first} AND s.sensor_code = $${first + 1}`,
        params: [ref.device, ref.field],
      };

/** The error that says that there is no such sensor, in the words of who asked. */
export const noSensor = (ref: SensorRef): NotFoundError =>
  new NotFoundError("id" in ref ? `no sensor ${ref.id}` : `no sensor '${ref.device}/${ref.field}'`);

/** A sensor. @throws NotFoundError */
export async function getChartSensor(db: Queries, ref: SensorRef): Promise<ChartSensor> {
  const { where, params } = whereSensor(ref, 1);
  const [sensor] = await db.query<ChartSensor>(`${SENSOR} WHERE ${where}`, params);
  if (!sensor) throw noSensor(ref);
  return sensor;
}

/** A stretch of time, [fromUs, toUs) in microseconds. */
export interface ChartRange {
  fromUs: number;
  toUs: number;
}

/** An instant as a parameter: a constant to the planner, who leaves out the weeks that are not asked for. */
const instant = (timeUs: number): Buffer => {
  const buffer = Buffer.alloc(8);
  writeTimestamp(viewOf(buffer), 0, timeUs);
  return buffer;
};
const US = (column: string) => `(extract(epoch FROM ${column}) * 1000000)::int8`;

/** Up to `limit` readings of a range as they came, oldest first. */
export function listReadings(
  db: Queries,
  sensor: ChartSensor,
  { fromUs, toUs }: ChartRange,
  limit: number,
): Promise<ChartReading[]> {
  const text = sensor.valueType === "text";
  return db.query<ChartReading>(
    `SELECT ${US("m.time")} AS "timeUs", ${text ? "m.value, 'ok' AS status" : "m.value + $5::float8 AS value, m.status"}, q.flags
       FROM public.${text ? "measurement_text" : "measurement"} m
       LEFT JOIN public.quality_flag q ON q.sensor_id = m.sensor_id AND q.time = m.time
      WHERE m.sensor_id = $1 AND m.time >= $2::timestamptz AND m.time < $3::timestamptz
            ${text ? "AND $5::float8 IS NOT NULL" : ""}
      ORDER BY m.time LIMIT $4`,
    [sensor.id, instant(fromUs), instant(toUs), limit, sensor.calibrationOffset],
  );
}

const STEPS: Record<ChartStep, string> = { "5m": "5 minutes", "1h": "1 hour", "1d": "1 day" };

/** A sensor and its buckets. */
export interface Chart {
  sensor: ChartSensor;
  buckets: ChartBucket[];
}

/**
 * Means, lowest and highest values of a range by step, oldest first: out of the rollups as far as they are done, and
 * out of the readings from there on, so that what came a second ago is in it. @throws NotFoundError
 */
export async function readChart(
  db: Queries,
  ref: SensorRef,
  range: ChartRange,
  step: ChartStep,
): Promise<Chart> {
  const { edgeUs, sensor, buckets } = await readRolledUp(db, ref, range, step);
  if (edgeUs !== null && edgeUs >= range.toUs) return { sensor, buckets };
  // Asked for apart: with a bound that the planner does not know it expects a third of all readings.
  const fromUs = Math.max(range.fromUs, edgeUs ?? range.fromUs);
  const [row] = await db.query<{ packed: Buffer | null }>(
    packed(`SELECT bin AS bucket, avg(value) AS mean, min(value) AS min, max(value) AS max, count(*)::int AS n
              FROM (SELECT date_bin('${STEPS[step]}', time, $4::timestamptz) AS bin, value FROM public.measurement
                     WHERE sensor_id = $1 AND time >= $2::timestamptz AND time < $3::timestamptz
                       AND status <> 'error' AND value > '-Infinity' AND value < 'Infinity') r
             GROUP BY bin ORDER BY bin`),
    [sensor.id, instant(fromUs), instant(range.toUs), instant(edgeUs ?? 0)],
  );
  return { sensor, buckets: [...buckets, ...unpack(row?.packed ?? null, sensor.calibrationOffset)] };
}

/**
 * Rollups of a range as far as they are done, and where that is: where the last bucket begins that may not be complete,
 * or the first one that is not rolled up; null before the first run.
 */
async function readRolledUp(
  db: Queries,
  ref: SensorRef,
  { fromUs, toUs }: ChartRange,
  step: ChartStep,
): Promise<Chart & { edgeUs: number | null }> {
  const { where, params } = whereSensor(ref, 3);
  const [row] = await db.query<ChartSensor & { edgeUs: number | null; packed: Buffer | null }>(
    `WITH sensor AS MATERIALIZED (${SENSOR} WHERE ${where}), done AS MATERIALIZED (
       SELECT coalesce((SELECT bucket FROM public.rollup_${step} WHERE sensor_id = sensor.id AND bucket <= watermark
                           AND bucket > watermark - INTERVAL '${step === "1d" ? "25 hours" : STEPS[step]}'
                         ORDER BY bucket DESC LIMIT 1),
                       date_bin('${STEPS[step]}', watermark, TIMESTAMPTZ '1970-01-01 00:00Z')) AS edge
         FROM public.rollup_watermark, sensor WHERE name = 'done' AND isfinite(watermark))
     SELECT sensor.*, ${US("edge")} AS "edgeUs", (${packed(
       `SELECT bucket, mean, min, max, n FROM public.rollup_${step}
         WHERE sensor_id = sensor.id AND bucket >= $1::timestamptz AND bucket < least($2::timestamptz, edge) AND n > 0
           AND edge IS NOT NULL ORDER BY bucket`,
     )}) AS packed FROM sensor LEFT JOIN done ON true`,
    [instant(fromUs), instant(toUs), ...params],
  );
  if (!row) throw noSensor(ref);
  const { edgeUs, packed: data, ...sensor } = row;
  return { edgeUs, sensor, buckets: unpack(data, sensor.calibrationOffset) };
}

const BUCKET_BYTES = 36;

/** Buckets of a query for (bucket, mean, min, max, n) in one value: a row each costs several times as much here. */
const packed = (rows: string) =>
  `SELECT string_agg(timestamptz_send(bucket) || float8send(mean) || float8send(min) || float8send(max) || int4send(n),
                     ''::bytea) AS packed FROM (${rows}) r`;

function unpack(data: Buffer | null, offset: number): ChartBucket[] {
  const buckets: ChartBucket[] = [];
  if (data === null) return buckets;
  const view = viewOf(data);
  for (let at = 0; at < data.length; at += BUCKET_BYTES) {
    buckets.push({
      timeUs: readTimestamp(view, at),
      value: view.getFloat64(at + 8) + offset,
      min: view.getFloat64(at + 16) + offset,
      max: view.getFloat64(at + 24) + offset,
      n: view.getInt32(at + 32),
    });
  }
  return buckets;
}

/** The newest reading of a sensor, calibrated. */
export interface LatestReading {
  sensorId: number;
  field: string;
  unit: string | null;
  value: number | string | null;
  status: string | null;
  time: Date | null;
}

/** The newest reading by time of every sensor of a device, by field. */
export function listLatest(db: Queries, device: string): Promise<LatestReading[]> {
  return db.query<LatestReading>(
    `SELECT s.id AS "sensorId", s.sensor_code AS field, coalesce(s.unit, t.measurement_unit) AS unit,
            coalesce(to_jsonb(n.value + s.calibration_offset), to_jsonb(x.value)) AS value,
            CASE WHEN x.time IS NOT NULL THEN 'ok' ELSE n.status END AS status, coalesce(n.time, x.time) AS time
       FROM iot.devices d
       JOIN iot.sensors s ON s.device_id = d.id
       LEFT JOIN iot.sensor_types t ON t.id = s.sensor_type_id
       LEFT JOIN LATERAL (SELECT time, value, status FROM public.measurement m
                           WHERE m.sensor_id = s.id AND s.value_type IS DISTINCT FROM 'text' ORDER BY time DESC LIMIT 1) n ON true
       LEFT JOIN LATERAL (SELECT time, value FROM public.measurement_text m
                           WHERE m.sensor_id = s.id AND s.value_type = 'text' ORDER BY time DESC LIMIT 1) x ON true
      WHERE d.device_code = $1 AND d.removed_at IS NULL ORDER BY s.sensor_code`,
    [device],
  );
}
