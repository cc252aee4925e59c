import type { TimeRange } from "./job-repository.ts";
import type { Queries } from "./open-db.ts";

/** Lengths of windows that are computed. */
export const WATER_WINDOWS = ["5min", "1hour", "1day"] as const;
/** One of {@link WATER_WINDOWS}. */
export type WaterWindow = (typeof WATER_WINDOWS)[number];

/** A node as it is shown, with its newest readings; null where there are none. */
export interface NodeStatus {
  node_id: string;
  node_name: string | null;
  node_type: string;
  zone: string | null;
  upstream_node_id: string | null;
  location_name: string | null;
  latitude: number | null;
  longitude: number | null;
  is_active: boolean;
  timestamp: string | null;
  flow_rate: number | null;
  pressure: number | null;
  temperature: number | null;
  volume: number | null;
  quality_score: number | null;
}

const FIGURE_COLUMNS = `window_start, window_end, avg_flow_rate::float8, min_flow_rate::float8, max_flow_rate::float8,
  total_volume::float8, flow_variance::float8, avg_pressure::float8, min_pressure::float8, max_pressure::float8,
  pressure_variance::float8, avg_temperature::float8, min_temperature::float8, max_temperature::float8, reading_count,
  data_completeness::float8, anomaly_count, quality_score::float8, computed_at, computation_version`;

const newest = (field: string) =>
  `(SELECT m.value + s.calibration_offset FROM iot.sensors s CROSS JOIN LATERAL
      (SELECT value, status FROM public.measurement WHERE sensor_id = s.id AND status <> 'error' ORDER BY time DESC LIMIT 1) m
     WHERE s.device_id = d.id AND s.sensor_code IN (${field}) LIMIT 1)`;

/** Nodes by id with their newest readings; only the one named, where one is. */
export function listNodeStatus(db: Queries, node?: string): Promise<NodeStatus[]> {
  return db.query<NodeStatus>(
    `SELECT n.node_id, n.node_name, n.node_type, z.name AS zone, n.upstream_node_id, n.location_name,
            n.latitude::float8, n.longitude::float8, n.is_active,
            (SELECT max(m.time) FROM iot.sensors s CROSS JOIN LATERAL
              (SELECT time FROM public.measurement WHERE sensor_id = s.id ORDER BY time DESC LIMIT 1) m
              WHERE s.device_id = d.id) AS timestamp,
            ${newest("'flow_rate'")} AS flow_rate, ${newest("'pressure'")} AS pressure,
            ${newest("'temperature'")} AS temperature, ${newest("'volume', 'total_flow'")} AS volume,
            ${newest("'quality_score'")} AS quality_score
       FROM water_infrastructure.nodes n JOIN iot.devices d ON d.device_code = n.node_id
       LEFT JOIN core.zones z ON z.id = n.zone_id
      WHERE d.removed_at IS NULL AND ($1::text IS NULL OR n.node_id = $1) ORDER BY n.node_id`,
    [node ?? null],
  );
}

/** Whether there is such a node, or figures of one that is gone. */
export async function isWaterNode(db: Queries, node: string): Promise<boolean> {
  const [row] = await db.query<{ known: boolean }>(
    `SELECT EXISTS (SELECT FROM water_infrastructure.nodes WHERE node_id = $1)
         OR EXISTS (SELECT FROM water_infrastructure.computed_metrics WHERE node_id = $1) AS known`,
    [node],
  );
  return row?.known ?? false;
}

/** Windows of a node in a range, newest first. */
export function listNodeMetrics(
  db: Queries,
  node: string,
  window: WaterWindow,
  range: TimeRange,
  limit: number,
): Promise<Record<string, unknown>[]> {
  return db.query(
    `SELECT node_id, time_window, ${FIGURE_COLUMNS} FROM water_infrastructure.computed_metrics
      WHERE node_id = $1 AND time_window = $2 AND window_start >= $3 AND window_start < $4
      ORDER BY window_start DESC LIMIT $5`,
    [node, window, new Date(range.fromMs), new Date(range.toMs), limit],
  );
}

/** What the hours of a range come to, for every node that has some, by node. Means are weighted by readings. */
export function summariseNodes(db: Queries, { fromMs, toMs }: TimeRange): Promise<Record<string, unknown>[]> {
  const mean = (column: string) =>
    `(sum(${column} * reading_count) / nullif(sum(reading_count) FILTER (WHERE ${column} IS NOT NULL), 0))::float8`;
  return db.query(
    `SELECT node_id, ${mean("avg_flow_rate")} AS avg_flow_rate, min(min_flow_rate)::float8 AS min_flow_rate,
            max(max_flow_rate)::float8 AS max_flow_rate, sum(total_volume)::float8 AS total_volume,
            ${mean("avg_pressure")} AS avg_pressure, min(min_pressure)::float8 AS min_pressure,
            max(max_pressure)::float8 AS max_pressure, ${mean("avg_temperature")} AS avg_temperature,
            sum(anomaly_count)::int AS anomaly_count, avg(data_completeness)::float8 AS data_completeness,
            avg(quality_score)::float8 AS quality_score, count(*)::int AS hours, max(window_end) AS window_end
       FROM water_infrastructure.computed_metrics
      WHERE time_window = '1hour' AND window_start >= $1 AND window_start < $2 GROUP BY node_id ORDER BY node_id`,
    [new Date(fromMs), new Date(toMs)],
  );
}

/** What the hours of a range come to for the whole network. */
export async function summariseNetwork(
  db: Queries,
  { fromMs, toMs }: TimeRange,
): Promise<Record<string, unknown>> {
  const [row] = await db.query(
    `SELECT (SELECT count(*)::int FROM water_infrastructure.nodes WHERE is_active) AS total_nodes,
            count(DISTINCT m.node_id)::int AS active_nodes, sum(m.total_volume)::float8 AS total_volume,
            avg(m.avg_flow_rate)::float8 AS avg_flow_rate, avg(m.avg_pressure)::float8 AS avg_pressure,
            avg(m.data_completeness)::float8 AS data_completeness, avg(m.quality_score)::float8 AS quality_score,
            sum(m.anomaly_count)::int AS anomaly_count, max(m.window_end) AS window_end
       FROM water_infrastructure.computed_metrics m
      WHERE m.time_window = '1hour' AND m.window_start >= $1 AND m.window_start < $2`,
    [new Date(fromMs), new Date(toMs)],
  );
  const [balance] = await db.query(
    `SELECT sum(total_input_volume)::float8 AS total_input_volume, sum(total_output_volume)::float8 AS total_output_volume,
            sum(total_loss_volume)::float8 AS total_loss_volume,
            (100 * sum(total_output_volume) / nullif(sum(total_input_volume), 0))::float8 AS efficiency_percentage
       FROM water_infrastructure.network_efficiency WHERE time_window = '1hour' AND window_start >= $1 AND window_start < $2`,
    [new Date(fromMs), new Date(toMs)],
  );
  return { ...row, ...balance };
}

/** Balances of the network in a range, newest first. */
export function listEfficiency(
  db: Queries,
  window: Exclude<WaterWindow, "5min">,
  { fromMs, toMs }: TimeRange,
  limit: number,
): Promise<Record<string, unknown>[]> {
  return db.query(
    `SELECT computation_id, computation_timestamp, time_window, window_start, window_end, total_input_volume::float8,
            total_output_volume::float8, total_loss_volume::float8, efficiency_percentage::float8, zone_metrics, leak_hints,
            active_nodes, total_nodes, network_availability::float8, total_anomalies, critical_anomalies, anomaly_zones
       FROM water_infrastructure.network_efficiency
      WHERE time_window = $1 AND window_start >= $2 AND window_start < $3 ORDER BY window_start DESC LIMIT $4`,
    [window, new Date(fromMs), new Date(toMs), limit],
  );
}

/** Which anomalies. */
export interface AnomalyFilter extends TimeRange {
  node?: string | undefined;
  severity?: string | undefined;
}

/** Anomalies in a range, newest first. */
export function listWaterAnomalies(
  db: Queries,
  { fromMs, toMs, node, severity }: AnomalyFilter,
  limit: number,
): Promise<Record<string, unknown>[]> {
  return db.query(
    `SELECT a.anomaly_id, a.timestamp, a.node_id, n.node_name, z.name AS zone, a.anomaly_type, a.severity,
            a.measurement_type, a.actual_value::float8, a.expected_value::float8, a.deviation_percentage::float8,
            a.detection_method, a.is_confirmed, a.resolved_at, a.metadata
       FROM water_infrastructure.anomalies a
       LEFT JOIN water_infrastructure.nodes n ON n.node_id = a.node_id LEFT JOIN core.zones z ON z.id = n.zone_id
      WHERE a.timestamp >= $1 AND a.timestamp < $2 AND ($3::text IS NULL OR a.node_id = $3)
        AND ($4::text IS NULL OR a.severity = $4)
      ORDER BY a.timestamp DESC, a.anomaly_id DESC LIMIT $5`,
    [new Date(fromMs), new Date(toMs), node ?? null, severity ?? null, limit],
  );
}

/** Quality of a node's data, newest windows first. */
export function listQuality(
  db: Queries,
  node: string,
  window: Exclude<WaterWindow, "5min">,
  limit: number,
): Promise<Record<string, unknown>[]> {
  return db.query(
    `SELECT node_id, check_timestamp, time_window, completeness_score::float8, validity_score::float8,
            consistency_score::float8, overall_quality_score::float8, missing_data_points, invalid_values,
            outliers_detected, quality_issues
       FROM water_infrastructure.data_quality_metrics WHERE node_id = $1 AND time_window = $2
      ORDER BY check_timestamp DESC LIMIT $3`,
    [node, window, limit],
  );
}

/** Whether the processing works: its last runs, how fresh nodes and figures are, what is due. */
export interface ProcessingStatus {
  nodes: { total: number; online: number; stale: number };
  latestReading: Date | null;
  latestWindow: Date | null;
  watermark: Date | null;
  lastRun: Record<string, unknown> | null;
  lastSuccess: Date | null;
  runsToday: { completed: number; failed: number; running: number };
  failedWindows: number;
  heartbeat: Record<string, unknown> | null;
  cacheSyncedAt: Date | null;
}

/** Reads {@link ProcessingStatus} at an instant: a node is online within half an hour of a reading, stale after one. */
export async function findProcessingStatus(db: Queries, nowMs: number): Promise<ProcessingStatus> {
  const [row] = await db.query<ProcessingStatus>(
    `WITH seen AS (
       SELECT n.node_id, (SELECT max(m.time) FROM iot.sensors s CROSS JOIN LATERAL
                           (SELECT time FROM public.measurement WHERE sensor_id = s.id ORDER BY time DESC LIMIT 1) m
                          WHERE s.device_id = d.id) AS at
         FROM water_infrastructure.nodes n JOIN iot.devices d ON d.device_code = n.node_id
        WHERE n.is_active AND d.removed_at IS NULL),
     runs AS (SELECT * FROM water_infrastructure.processing_jobs WHERE job_type = 'water_processing')
     SELECT (SELECT json_build_object('total', count(*),
               'online', count(*) FILTER (WHERE at > $1::timestamptz - INTERVAL '30 minutes'),
               'stale', count(*) FILTER (WHERE at IS NULL OR at <= $1::timestamptz - INTERVAL '1 hour')) FROM seen) AS nodes,
            (SELECT max(at) FROM seen) AS "latestReading",
            (SELECT max(window_end) FROM water_infrastructure.computed_metrics) AS "latestWindow",
            (SELECT (value ->> 'timestamp')::timestamptz FROM core.system_config WHERE key = 'etl_water_watermark') AS watermark,
            (SELECT row_to_json(r) FROM (SELECT job_id, job_type, job_name, status, triggered_by, started_at, completed_at,
                duration_seconds, data_start_time, data_end_time, result_summary
                FROM runs ORDER BY created_at DESC LIMIT 1) r) AS "lastRun",
            (SELECT max(completed_at) FROM runs WHERE status = 'completed') AS "lastSuccess",
            (SELECT json_build_object('completed', count(*) FILTER (WHERE status = 'completed'),
               'failed', count(*) FILTER (WHERE status = 'failed'), 'running', count(*) FILTER (WHERE status = 'running'))
               FROM runs WHERE created_at > $1::timestamptz - INTERVAL '24 hours') AS "runsToday",
            (SELECT count(*) FROM public.etl_failed_window WHERE job_name = 'water') AS "failedWindows",
            (SELECT row_to_json(h) FROM water_infrastructure.system_heartbeat h WHERE component = 'processing') AS heartbeat,
            (SELECT max(completed_at) FROM water_infrastructure.cache_sync_log) AS "cacheSyncedAt"`,
    [new Date(nowMs)],
  );
  if (!row) throw new Error("the status has no row");
  return row;
}

/** Models that there are, newest first. */
export function listModels(db: Queries): Promise<Record<string, unknown>[]> {
  return db.query(
    `SELECT model_id, model_name, model_type, version, status, is_active, metrics, training_completed_at, training_samples
       FROM water_infrastructure.ml_models ORDER BY created_at DESC`,
  );
}

/** Readings of a node in a range, one row per instant, newest first. */
export function listNodeReadings(
  db: Queries,
  node: string,
  { fromMs, toMs }: TimeRange,
  limit: number,
): Promise<Record<string, unknown>[]> {
  return db.query(
    `SELECT "timestamp", node_id, temperature, flow_rate, pressure, total_flow, quality_score, is_interpolated
       FROM water_infrastructure.sensor_readings
      WHERE node_id = $1 AND "timestamp" >= $2 AND "timestamp" < $3 ORDER BY "timestamp" DESC LIMIT $4`,
    [node, new Date(fromMs), new Date(toMs), limit],
  );
}

/** What active models predict for a node from now on, soonest first. */
export function listPredictions(db: Queries, node: string): Promise<Record<string, unknown>[]> {
  return db.query(
    `SELECT p.prediction_id, p.model_id, m.model_type, m.version, p.prediction_timestamp, p.prediction_horizon_hours,
            p.target_timestamp, p.predicted_flow_rate::float8, p.predicted_pressure::float8, p.predicted_temperature::float8,
            p.flow_rate_lower::float8, p.flow_rate_upper::float8, p.pressure_lower::float8, p.pressure_upper::float8,
            p.confidence_score::float8
       FROM water_infrastructure.ml_predictions_cache p JOIN water_infrastructure.ml_models m USING (model_id)
      WHERE p.node_id = $1 AND m.is_active AND p.target_timestamp > now() ORDER BY p.target_timestamp LIMIT 100`,
    [node],
  );
}
