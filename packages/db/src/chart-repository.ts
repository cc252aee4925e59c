import { NotFoundError } from "@sluice/shared-types";
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

/** A sensor by id, or by device and field. @throws NotFoundError */
export async function getChartSensor(
  db: Queries,
  ref: { id: number } | { device: string; field: string },
): Promise<ChartSensor> {
  const [sensor] =
    "id" in ref
      ? await db.query<ChartSensor>(`${SENSOR} WHERE s.id = $1`, [ref.id])
      : await db.query<ChartSensor>(`${SENSOR} WHERE d.device_code = $1 AND s.sensor_code = $2`, [
          ref.device,
          ref.field,
        ]);
  if (!sensor) throw new NotFoundError("no such sensor");
  return sensor;
}

/** A stretch of time, [fromUs, toUs) in microseconds. */
export interface ChartRange {
  fromUs: number;
  toUs: number;
}

const AT = (parameter: number) => `to_timestamp(0) + $${parameter}::int8 * INTERVAL '1 microsecond'`;
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
      WHERE m.sensor_id = $1 AND m.time >= ${AT(2)} AND m.time < ${AT(3)} ${text ? "AND $5::float8 IS NOT NULL" : ""}
      ORDER BY m.time LIMIT $4`,
    [sensor.id, fromUs, toUs, limit, sensor.calibrationOffset],
  );
}

const STEPS: Record<ChartStep, string> = { "5m": "5 minutes", "1h": "1 hour", "1d": "1 day" };

/**
 * Means, lowest and highest values of a range by step, oldest first: out of the rollups as far as they are done, and
 * out of the readings from there on, so that what came a second ago is in it.
 */
export async function listBuckets(
  db: Queries,
  sensor: ChartSensor,
  range: ChartRange,
  step: ChartStep,
): Promise<ChartBucket[]> {
  // Asked for apart: with a bound that the planner does not know it expects a third of all readings.
  const edgeUs = await findEdge(db, sensor, step);
  const [done, rest] = await Promise.all([
    edgeUs === null || edgeUs <= range.fromUs
      ? []
      : listRolledUp(db, sensor, { ...range, toUs: Math.min(range.toUs, edgeUs) }, step),
    edgeUs !== null && edgeUs >= range.toUs
      ? []
      : rollUp(
          db,
          sensor,
          { ...range, fromUs: Math.max(range.fromUs, edgeUs ?? range.fromUs) },
          step,
          edgeUs ?? 0,
        ),
  ]);
  return [...done, ...rest];
}

/** Where the last bucket begins that may not be complete, or the first one that is not rolled up; null before the first run. */
async function findEdge(db: Queries, sensor: ChartSensor, step: ChartStep): Promise<number | null> {
  const [row] = await db.query<{ edge: number }>(
    `SELECT ${US("edge")} AS edge FROM (
       SELECT coalesce((SELECT bucket FROM public.rollup_${step} WHERE sensor_id = $1 AND bucket <= watermark
                           AND bucket > watermark - INTERVAL '${step === "1d" ? "25 hours" : STEPS[step]}'
                         ORDER BY bucket DESC LIMIT 1),
                       date_bin('${STEPS[step]}', watermark, TIMESTAMPTZ '1970-01-01 00:00Z')) AS edge
         FROM public.rollup_watermark WHERE name = 'done' AND isfinite(watermark)) w`,
    [sensor.id],
  );
  return row?.edge ?? null;
}

function listRolledUp(
  db: Queries,
  sensor: ChartSensor,
  { fromUs, toUs }: ChartRange,
  step: ChartStep,
): Promise<ChartBucket[]> {
  return db.query<ChartBucket>(
    `SELECT ${US("bucket")} AS "timeUs", mean + $4::float8 AS value, min + $4::float8 AS min, max + $4::float8 AS max, n
       FROM public.rollup_${step}
      WHERE sensor_id = $1 AND bucket >= ${AT(2)} AND bucket < ${AT(3)} AND n > 0 ORDER BY bucket`,
    [sensor.id, fromUs, toUs, sensor.calibrationOffset],
  );
}

function rollUp(
  db: Queries,
  sensor: ChartSensor,
  { fromUs, toUs }: ChartRange,
  step: ChartStep,
  originUs: number,
): Promise<ChartBucket[]> {
  return db.query<ChartBucket>(
    `SELECT ${US("bin")} AS "timeUs", avg(value) + $4::float8 AS value, min(value) + $4::float8 AS min,
            max(value) + $4::float8 AS max, count(*) AS n
       FROM (SELECT date_bin('${STEPS[step]}', time, ${AT(5)}) AS bin, value FROM public.measurement
              WHERE sensor_id = $1 AND time >= ${AT(2)} AND time < ${AT(3)}
                AND status <> 'error' AND value > '-Infinity' AND value < 'Infinity') r
      GROUP BY bin ORDER BY bin`,
    [sensor.id, fromUs, toUs, sensor.calibrationOffset, originUs],
  );
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
