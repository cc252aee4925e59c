import type { DerivedRow, DerivedTable } from "./bi-table-repository.ts";
import type { TimeRange } from "./job-repository.ts";
import type { Db, Queries } from "./open-db.ts";

/** What a pack changes in the database. The whole of it is kept as it is. */
export interface EnabledPack {
  readonly name: string;
  readonly title: string;
  readonly deviceTypes: readonly string[];
  readonly sensorTypes: readonly {
    readonly name: string;
    readonly fields: readonly string[];
    readonly unit: string;
    readonly category: string;
    readonly min?: number | undefined;
    readonly max?: number | undefined;
    readonly calibrationDays?: number | undefined;
    readonly description?: string | undefined;
  }[];
  readonly alertRules: readonly {
    readonly name: string;
    readonly sensorType: string;
    readonly condition: string;
    readonly threshold?: number | undefined;
    readonly min?: number | undefined;
    readonly max?: number | undefined;
    readonly durationMinutes: number;
    readonly severity: string;
  }[];
}

/**
 * Enables a pack, or brings one that is enabled up to date: sensor types with units and ranges, what each field of its
 * devices is (for sensors that are there already, too, unless somebody gave them a type), and its alert rules, of which
 * those that are there stay as they are.
 */
export async function enablePack(db: Db, pack: EnabledPack): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.execute(
      `INSERT INTO core.packs (name, title, definition) VALUES ($1, $2, $3)
       ON CONFLICT (name) DO UPDATE SET title = excluded.title, definition = excluded.definition, enabled_at = now()`,
      [pack.name, pack.title, JSON.stringify(pack)],
    );
    await tx.execute(
      `INSERT INTO iot.sensor_types (name, measurement_unit, metric_category, calibration_required, calibration_interval_days,
                                     expected_range_min, expected_range_max, description)
       SELECT t.name, t.unit, t.category, t."calibrationDays" IS NOT NULL, t."calibrationDays", t.min, t.max, t.description
         FROM jsonb_to_recordset($1::jsonb) AS t (name text, unit text, category text, "calibrationDays" int, min numeric,
                                                  max numeric, description text)
       ON CONFLICT (name) DO UPDATE SET measurement_unit = excluded.measurement_unit, metric_category = excluded.metric_category,
         expected_range_min = excluded.expected_range_min, expected_range_max = excluded.expected_range_max,
         description = coalesce(excluded.description, sensor_types.description)`,
      [JSON.stringify(pack.sensorTypes)],
    );
    const deviceTypes = pack.deviceTypes.length === 0 ? ["*"] : pack.deviceTypes;
    await tx.execute("DELETE FROM iot.field_types WHERE pack = $1", [pack.name]);
    await tx.execute(
      `INSERT INTO iot.field_types (field, device_type, sensor_type_id, pack)
       SELECT f.field, d.device_type, s.id, $2
         FROM jsonb_to_recordset($1::jsonb) AS t (name text, fields text[])
         JOIN iot.sensor_types s ON s.name = t.name
        CROSS JOIN unnest(t.fields) AS f (field) CROSS JOIN unnest($3::text[]) AS d (device_type)
       ON CONFLICT (field, device_type) DO UPDATE SET sensor_type_id = excluded.sensor_type_id, pack = excluded.pack`,
      [JSON.stringify(pack.sensorTypes), pack.name, deviceTypes],
    );
    await tx.execute(
      `UPDATE iot.sensors s SET sensor_type_id = f.sensor_type_id, unit = coalesce(s.unit, t.measurement_unit)
         FROM iot.devices d, iot.field_types f JOIN iot.sensor_types t ON t.id = f.sensor_type_id
        WHERE f.pack = $1 AND d.id = s.device_id AND s.sensor_type_id IS NULL AND f.field = s.sensor_code
          AND f.device_type IN ('*', d.device_type)`,
      [pack.name],
    );
    await tx.execute(
      `INSERT INTO alert.rules (name, sensor_type, condition_type, threshold, threshold_min, threshold_max, duration_minutes, severity)
       SELECT r.name, r."sensorType", r.condition, r.threshold, r.min, r.max, r."durationMinutes", r.severity
         FROM jsonb_to_recordset($1::jsonb) AS r (name text, "sensorType" text, condition text, threshold numeric, min numeric,
                                                  max numeric, "durationMinutes" float8, severity text)
        WHERE NOT EXISTS (SELECT FROM alert.rules o WHERE o.name = r.name)`,
      [JSON.stringify(pack.alertRules)],
    );
  });
}

/** Takes a pack out of use: what it made stays, new sensors get no types by it and its jobs do not run; false where it was not in use. */
export async function disablePack(db: Queries, name: string): Promise<boolean> {
  return (await db.execute("DELETE FROM core.packs WHERE name = $1", [name])) > 0;
}

/** Packs that are enabled, by name, with what they were when they were. */
export function listEnabledPacks(
  db: Queries,
): Promise<{ name: string; title: string; definition: Record<string, unknown>; enabledAt: Date }[]> {
  return db.query('SELECT name, title, definition, enabled_at AS "enabledAt" FROM core.packs ORDER BY name');
}

/** Figures of jobs that are data. */
export const PACK_METRIC_TABLE: DerivedTable = {
  name: "bi.pack_metric",
  keys: { job: "text", device_id: "int", bucket_start: "timestamptz", metric: "text" },
  values: { value: "float8", unit: "text" },
};

/** A figure of a field, as an enabled pack asks for it. */
export interface WantedMetric {
  job: string;
  bucket: "1h" | "1d";
  metric: string;
  field: string;
  figure: string;
  scale: number;
  unit: string;
}

/** The metrics that jobs of enabled packs ask for. */
export function listWantedMetrics(db: Queries): Promise<WantedMetric[]> {
  return db.query<WantedMetric>(
    `SELECT j.value ->> 'name' AS job, j.value ->> 'bucket' AS bucket, m.value ->> 'name' AS metric, m.value ->> 'field' AS field,
            m.value ->> 'figure' AS figure, (m.value ->> 'scale')::float8 AS scale, m.value ->> 'unit' AS unit
       FROM core.packs p CROSS JOIN jsonb_array_elements(p.definition -> 'jobs') j
      CROSS JOIN jsonb_array_elements(j.value -> 'metrics') m
      WHERE jsonb_typeof(j.value) = 'object' ORDER BY 1, 3`,
  );
}

const FIGURES = `CASE w.figure WHEN 'mean' THEN x.sum / nullif(x.n, 0) + x.shift WHEN 'min' THEN x.min + x.shift
  WHEN 'max' THEN x.max + x.shift WHEN 'first' THEN x.first + x.shift WHEN 'last' THEN x.last + x.shift
  WHEN 'count' THEN x.n WHEN 'integral' THEN x.held + x.shift * x.seconds WHEN 'hours' THEN x.seconds / 3600
  WHEN 'coverage' THEN x.coverage END`;

/** Computes metrics for the buckets of a length that begin in a range, out of the hours of the rollups. */
export function computeMetrics(
  db: Queries,
  metrics: readonly WantedMetric[],
  { fromMs, toMs, bucket }: TimeRange & { bucket: "1h" | "1d" },
): Promise<DerivedRow[]> {
  return db.query<DerivedRow>(
    `WITH w AS (SELECT * FROM jsonb_to_recordset($1::jsonb) AS w (job text, metric text, field text, figure text, scale float8, unit text))
     SELECT w.job, x.device_id, to_char(x.start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS bucket_start, w.metric,
            ${FIGURES} * w.scale AS value, w.unit
       FROM w JOIN (
         SELECT s.device_id, s.sensor_code AS field, s.calibration_offset AS shift,
                date_bin($4::interval, r.bucket, TIMESTAMPTZ '1970-01-01 00:00:00+00') AS start, sum(r.n) AS n, sum(r.sum) AS sum,
                min(r.min) AS min, max(r.max) AS max, sum(r.held_seconds) AS seconds, avg(r.coverage) AS coverage,
                sum(r.time_weighted_avg * r.held_seconds) AS held,
                (array_agg(r.first ORDER BY r.bucket) FILTER (WHERE r.n > 0))[1] AS first,
                (array_agg(r.last ORDER BY r.bucket DESC) FILTER (WHERE r.n > 0))[1] AS last
           FROM iot.sensors s JOIN public.rollup_1h r ON r.sensor_id = s.id
          WHERE s.sensor_code IN (SELECT field FROM w) AND r.bucket >= $2 AND r.bucket < $3
          GROUP BY s.id, start) x ON x.field = w.field`,
    [JSON.stringify(metrics), new Date(fromMs), new Date(toMs), bucket === "1h" ? "1 hour" : "24 hours"],
  );
}

/** Keys of {@link PACK_METRIC_TABLE} of some jobs with buckets that begin in a range. */
export function listMetricRowKeys(
  db: Queries,
  jobs: readonly string[],
  { fromMs, toMs }: TimeRange,
): Promise<DerivedRow[]> {
  return db.query<DerivedRow>(
    `SELECT job, device_id, to_char(bucket_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS bucket_start, metric
       FROM bi.pack_metric WHERE job = ANY ($1) AND bucket_start >= $2 AND bucket_start < $3`,
    [jobs, new Date(fromMs), new Date(toMs)],
  );
}

/** Registers devices of a demonstration with their types; those that are there keep theirs. */
export async function registerDevices(
  db: Queries,
  devices: readonly { id: string; type: string }[],
): Promise<void> {
  await db.execute(
    `INSERT INTO iot.devices (device_code, device_type)
     SELECT * FROM unnest($1::text[], $2::text[]) AS d (id, type) ORDER BY id ON CONFLICT (device_code) DO NOTHING`,
    [devices.map(({ id }) => id), devices.map(({ type }) => type)],
  );
}

/** Instant of the newest number that any of the devices sent; undefined where none has. */
export async function findNewestReading(db: Queries, devices: readonly string[]): Promise<Date | undefined> {
  const [row] = await db.query<{ at: Date | null }>(
    `SELECT max(m.time) AS at FROM iot.devices d JOIN iot.sensors s ON s.device_id = d.id
      CROSS JOIN LATERAL (SELECT time FROM public.measurement WHERE sensor_id = s.id ORDER BY time DESC LIMIT 1) m
      WHERE d.device_code = ANY ($1)`,
    [devices],
  );
  return row?.at ?? undefined;
}
