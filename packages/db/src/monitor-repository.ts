import type { Queries } from "./open-db.ts";

/** A reading as `monitor db` lists it. */
export interface LatestMeasurement {
  time: Date;
  sensor: string;
  room: string | null;
  device: string;
  value: number | null;
  unit: string | null;
  status: string;
}

/** The newest readings of all, calibrated, with where they come from. One index lookup per sensor. */
export function listLatestMeasurements(db: Queries, limit: number): Promise<LatestMeasurement[]> {
  return db.query<LatestMeasurement>(
    `SELECT m.time, s.sensor_code AS sensor, coalesce(r.name, k.name) AS room, d.device_code AS device,
            m.value + s.calibration_offset AS value, s.unit, m.status
       FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id
       LEFT JOIN core.rooms r ON r.id = d.room_id
       LEFT JOIN core.racks c ON c.id = d.rack_id LEFT JOIN core.rooms k ON k.id = c.room_id,
            LATERAL (SELECT time, value, status FROM public.measurement WHERE sensor_id = s.id
                      ORDER BY time DESC LIMIT $1) m
      ORDER BY m.time DESC LIMIT $1`,
    [limit],
  );
}

/** How fresh the readings are. */
export interface MeasurementHealth {
  lastHour: number;
  latest: Date | null;
  sensors: number;
  devices: number;
}

/** Readings of the last hour, and the newest one. Answers only where the tables can be read. */
export async function readMeasurementHealth(db: Queries): Promise<MeasurementHealth> {
  const [row] = await db.query<MeasurementHealth>(
    `SELECT coalesce(sum(m.n), 0)::int8 AS "lastHour", max(l.time) AS latest, count(*)::int AS sensors,
            count(DISTINCT s.device_id)::int AS devices
       FROM iot.sensors s,
            LATERAL (SELECT count(*) AS n FROM public.measurement
                      WHERE sensor_id = s.id AND time > now() - INTERVAL '1 hour' AND time <= now() + INTERVAL '1 hour') m,
            LATERAL (SELECT max(time) AS time FROM public.measurement WHERE sensor_id = s.id) l`,
  );
  return row as MeasurementHealth;
}

/** What a job did within a day. */
export interface JobOfDay {
  job: string;
  completed: number;
  failed: number;
  running: number;
  lastStarted: Date | null;
  meanSeconds: number | null;
  items: number;
  lastError: string | null;
}

/** The jobs of the last 24 hours. */
export function listJobsOfDay(db: Queries): Promise<JobOfDay[]> {
  return db.query<JobOfDay>(
    `SELECT job_name AS job, (count(*) FILTER (WHERE status = 'completed'))::int AS completed,
            (count(*) FILTER (WHERE status = 'failed'))::int AS failed,
            (count(*) FILTER (WHERE status = 'running'))::int AS running, max(started_at) AS "lastStarted",
            avg(duration_seconds) AS "meanSeconds", coalesce(sum(processed_items), 0)::int8 AS items,
            (array_agg(error_message ORDER BY created_at DESC) FILTER (WHERE error_message IS NOT NULL))[1] AS "lastError"
       FROM public.processing_jobs WHERE created_at > now() - INTERVAL '24 hours' GROUP BY job_name ORDER BY job_name`,
  );
}

/** A node of the water network whose figures are behind. */
export interface StaleNode {
  node: string;
  latest: Date;
  behindSeconds: number;
}

/** The document's freshness query: nodes whose newest figures are older than an hour. */
export function listStaleNodes(db: Queries): Promise<StaleNode[]> {
  return db.query<StaleNode>(
    `SELECT node_id AS node, max(window_end) AS latest, extract(epoch FROM now() - max(window_end))::float8 AS "behindSeconds"
       FROM water_infrastructure.computed_metrics GROUP BY node_id
     HAVING now() - max(window_end) > INTERVAL '1 hour' ORDER BY 3 DESC`,
  );
}

/** A table and its size, partitions and indexes included. */
export interface TableSize {
  table: string;
  bytes: number;
}

/** The largest tables. */
export function listTableSizes(db: Queries, limit: number): Promise<TableSize[]> {
  return db.query<TableSize>(
    `SELECT name AS table, sum(bytes)::int8 AS bytes
       FROM (SELECT coalesce(i.inhparent, c.oid)::regclass::text AS name, pg_total_relation_size(c.oid) AS bytes
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
              WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema|_timescaledb)') sizes
      GROUP BY name ORDER BY 2 DESC LIMIT $1`,
    [limit],
  );
}
