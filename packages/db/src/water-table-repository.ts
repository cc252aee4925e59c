import type { DerivedRow, DerivedTable } from "./bi-table-repository.ts";
import type { TimeRange } from "./job-repository.ts";
import type { Queries } from "./open-db.ts";

/** Figures of a node in a window. */
export const METRICS_TABLE: DerivedTable = {
  name: "water_infrastructure.computed_metrics",
  keys: { node_id: "text", time_window: "text", window_start: "timestamptz" },
  values: {
    window_end: "timestamptz",
    avg_flow_rate: "numeric",
    min_flow_rate: "numeric",
    max_flow_rate: "numeric",
    total_volume: "numeric",
    flow_variance: "numeric",
    avg_pressure: "numeric",
    min_pressure: "numeric",
    max_pressure: "numeric",
    pressure_variance: "numeric",
    avg_temperature: "numeric",
    min_temperature: "numeric",
    max_temperature: "numeric",
    reading_count: "int",
    data_completeness: "numeric",
    anomaly_count: "int",
    quality_score: "numeric",
    computation_version: "text",
  },
};

/** How good the data of a node in a window is. */
export const QUALITY_TABLE: DerivedTable = {
  name: "water_infrastructure.data_quality_metrics",
  keys: { node_id: "text", check_timestamp: "timestamptz", time_window: "text" },
  values: {
    completeness_score: "numeric",
    validity_score: "numeric",
    consistency_score: "numeric",
    overall_quality_score: "numeric",
    missing_data_points: "int",
    invalid_values: "int",
    outliers_detected: "int",
    quality_issues: "jsonb",
  },
};

/** What stood out. Whether somebody confirmed or resolved it is not ours to write. */
export const ANOMALY_TABLE: DerivedTable = {
  name: "water_infrastructure.anomalies",
  keys: { node_id: "text", measurement_type: "text", timestamp: "timestamptz" },
  values: {
    anomaly_type: "text",
    severity: "text",
    actual_value: "numeric",
    expected_value: "numeric",
    deviation_percentage: "numeric",
    detection_method: "text",
    metadata: "jsonb",
  },
};

/** Balance of the network in a window. */
export const EFFICIENCY_TABLE: DerivedTable = {
  name: "water_infrastructure.network_efficiency",
  keys: { time_window: "text", window_start: "timestamptz" },
  values: {
    window_end: "timestamptz",
    total_input_volume: "numeric",
    total_output_volume: "numeric",
    total_loss_volume: "numeric",
    efficiency_percentage: "numeric",
    zone_metrics: "jsonb",
    leak_hints: "jsonb",
    active_nodes: "int",
    total_nodes: "int",
    network_availability: "numeric",
    total_anomalies: "int",
    critical_anomalies: "int",
    anomaly_zones: "jsonb",
  },
};

/** Instants as they come out of JSON. */
const instant = (column: string) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** Which part of a table a run makes anew: windows of a length that begin in a range (or end, with `byEnd`). */
export interface WindowsOf extends TimeRange {
  timeWindow: string;
}

/** Keys of {@link METRICS_TABLE} with windows that begin in the ranges. */
export function listMetricKeys(db: Queries, windows: readonly WindowsOf[]): Promise<DerivedRow[]> {
  return listKeys(
    db,
    `SELECT node_id, t.time_window, ${instant("window_start")} AS window_start
       FROM water_infrastructure.computed_metrics t
       JOIN w ON t.time_window = w.time_window AND t.window_start >= w.from_time AND t.window_start < w.to_time`,
    windows,
  );
}

/** Keys of {@link QUALITY_TABLE} with windows that end in the ranges, their beginning excluded. */
export function listQualityKeys(db: Queries, windows: readonly WindowsOf[]): Promise<DerivedRow[]> {
  return listKeys(
    db,
    `SELECT node_id, t.time_window, ${instant("check_timestamp")} AS check_timestamp
       FROM water_infrastructure.data_quality_metrics t
       JOIN w ON t.time_window = w.time_window AND t.check_timestamp > w.from_time AND t.check_timestamp <= w.to_time`,
    windows,
  );
}

/** Keys of {@link EFFICIENCY_TABLE} with windows that begin in the ranges. */
export function listEfficiencyKeys(db: Queries, windows: readonly WindowsOf[]): Promise<DerivedRow[]> {
  return listKeys(
    db,
    `SELECT t.time_window, ${instant("window_start")} AS window_start
       FROM water_infrastructure.network_efficiency t
       JOIN w ON t.time_window = w.time_window AND t.window_start >= w.from_time AND t.window_start < w.to_time`,
    windows,
  );
}

const listKeys = (db: Queries, select: string, windows: readonly WindowsOf[]) =>
  db.query<DerivedRow>(
    `WITH w AS (SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) w (time_window, from_time, to_time))
     ${select}`,
    [
      windows.map(({ timeWindow }) => timeWindow),
      windows.map(({ fromMs }) => new Date(fromMs)),
      windows.map(({ toMs }) => new Date(toMs)),
    ],
  );

/** Keys of {@link ANOMALY_TABLE} in a range, but for those that somebody has confirmed or resolved. */
export function listAnomalyKeys(db: Queries, { fromMs, toMs }: TimeRange): Promise<DerivedRow[]> {
  return db.query<DerivedRow>(
    `SELECT node_id, measurement_type, ${instant('"timestamp"')} AS timestamp FROM water_infrastructure.anomalies
      WHERE "timestamp" >= $1 AND "timestamp" < $2 AND is_confirmed IS NOT TRUE AND resolved_at IS NULL`,
    [new Date(fromMs), new Date(toMs)],
  );
}

/** Asks for the hours that change after a job has passed them; see `bi.due`. */
export async function registerDueJob(
  db: Queries,
  job: { name: string; watermarkKey: string; step: "1 hour" | "24 hours" },
): Promise<void> {
  await db.execute(
    `INSERT INTO bi.due_job (job, watermark_key, step) VALUES ($1, $2, $3::interval) ON CONFLICT (job) DO NOTHING`,
    [job.name, job.watermarkKey, job.step],
  );
}

/** Notes that a part of the processing is alive, and how it is. */
export async function beat(
  db: Queries,
  component: string,
  status: string,
  details: object = {},
): Promise<void> {
  await db.execute(
    `INSERT INTO water_infrastructure.system_heartbeat (component, last_seen, status, details)
     VALUES ($1, clock_timestamp(), $2, $3)
     ON CONFLICT (component) DO UPDATE SET last_seen = excluded.last_seen, status = excluded.status, details = excluded.details`,
    [component, status, JSON.stringify(details)],
  );
}

const LOGGED = 1000;

/** Notes a refresh of the cache; only the latest are kept. */
export async function logCacheSync(db: Queries, keys: number, startedMs: number): Promise<void> {
  await db.execute(
    "INSERT INTO water_infrastructure.cache_sync_log (sync_type, keys_written, started_at) VALUES ('cycle', $1, $2)",
    [keys, new Date(startedMs)],
  );
  await db.execute(
    `DELETE FROM water_infrastructure.cache_sync_log
      WHERE id <= (SELECT max(id) - $1 FROM water_infrastructure.cache_sync_log)`,
    [LOGGED],
  );
}
