import type { DerivedRow, DerivedTable } from "./bi-table-repository.ts";
import type { TimeRange } from "./job-repository.ts";
import type { Queries } from "./open-db.ts";

/** Figures of a node in a window. */
export const METRICS_TABLE: DerivedTable = {
  name: "water_infrastructure.computed_metrics",
  keys: { node_id: "text", time_window: "text", window_start: "timestamptz" },
  values: {
    ...columns("timestamptz", "window_end"),
    ...columns("numeric", "avg_flow_rate", "min_flow_rate", "max_flow_rate", "total_volume", "flow_variance"),
    ...columns("numeric", "avg_pressure", "min_pressure", "max_pressure", "pressure_variance"),
    ...columns("numeric", "avg_temperature", "min_temperature", "max_temperature"),
    ...columns("numeric", "data_completeness", "quality_score"),
    ...columns("int", "reading_count", "anomaly_count"),
    ...columns("text", "computation_version"),
  },
};

/** How good the data of a node in a window is. */
export const QUALITY_TABLE: DerivedTable = {
  name: "water_infrastructure.data_quality_metrics",
  keys: { node_id: "text", check_timestamp: "timestamptz", time_window: "text" },
  values: {
    ...columns(
      "numeric",
      "completeness_score",
      "validity_score",
      "consistency_score",
      "overall_quality_score",
    ),
    ...columns("int", "missing_data_points", "invalid_values", "outliers_detected"),
    ...columns("jsonb", "quality_issues"),
  },
};

/** What stood out. Whether somebody confirmed or resolved it is not ours to write. */
export const ANOMALY_TABLE: DerivedTable = {
  name: "water_infrastructure.anomalies",
  keys: { node_id: "text", measurement_type: "text", timestamp: "timestamptz" },
  values: {
    ...columns("text", "anomaly_type", "severity", "detection_method"),
    ...columns("numeric", "actual_value", "expected_value", "deviation_percentage"),
    ...columns("jsonb", "metadata"),
  },
};

/** Balance of the network in a window. */
export const EFFICIENCY_TABLE: DerivedTable = {
  name: "water_infrastructure.network_efficiency",
  keys: { time_window: "text", window_start: "timestamptz" },
  values: {
    ...columns("timestamptz", "window_end"),
    ...columns("numeric", "total_input_volume", "total_output_volume", "total_loss_volume"),
    ...columns("numeric", "efficiency_percentage", "network_availability"),
    ...columns("jsonb", "zone_metrics", "leak_hints", "anomaly_zones"),
    ...columns("int", "active_nodes", "total_nodes", "total_anomalies", "critical_anomalies"),
  },
};

function columns(type: string, ...names: string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, type]));
}

/** Instants as they come out of JSON. */
const instant = (column: string) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** Which part of a table a run makes anew: windows of a length that begin in a range. */
export interface WindowsOf extends TimeRange {
  timeWindow: string;
}

/** Keys of a table with windows that begin in the ranges; {@link QUALITY_TABLE} names a window by its end. */
export function listWindowKeys(
  db: Queries,
  table: DerivedTable,
  windows: readonly WindowsOf[],
): Promise<DerivedRow[]> {
  const keys = Object.entries(table.keys).map(([name, type]) =>
    type === "timestamptz" ? `${instant(`t.${name}`)} AS ${name}` : `t.${name}`,
  );
  const during =
    "window_start" in table.keys
      ? "t.window_start >= w.from_time AND t.window_start < w.to_time"
      : "t.check_timestamp > w.from_time AND t.check_timestamp <= w.to_time";
  return db.query<DerivedRow>(
    `SELECT ${keys.join(", ")} FROM ${table.name} t
       JOIN unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) w (time_window, from_time, to_time)
         ON t.time_window = w.time_window AND ${during}`,
    [
      windows.map(({ timeWindow }) => timeWindow),
      windows.map(({ fromMs }) => new Date(fromMs)),
      windows.map(({ toMs }) => new Date(toMs)),
    ],
  );
}

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
