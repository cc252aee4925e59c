import type { Queries } from "./open-db.ts";
import { USABLE } from "./rollup-statements.ts";

/** What a node measures. */
export const WATER_MEASURES = ["flow_rate", "pressure", "temperature", "volume", "quality_score"] as const;
/** One of {@link WATER_MEASURES}. */
export type WaterMeasure = (typeof WATER_MEASURES)[number];

/** A sensor of a node, with what it can measure. */
export interface WaterSensor {
  id: number;
  offset: number;
  min: number | null;
  max: number | null;
}

/** A node of the network with the sensors that it has. */
export interface WaterNode {
  node: string;
  type: string;
  /** Name of its zone; null where it is in none. */
  zone: string | null;
  upstream: string | null;
  active: boolean;
  sensors: Partial<Record<WaterMeasure, WaterSensor>>;
}

/** A reading of a node; null where the sensor failed. Calibrated. */
export interface WaterReading {
  measure: WaterMeasure;
  atMs: number;
  value: number | null;
}

/** Fields by which nodes send what they measure. */
const FIELDS: Readonly<Record<string, WaterMeasure>> = {
  flow_rate: "flow_rate",
  pressure: "pressure",
  temperature: "temperature",
  total_flow: "volume",
  volume: "volume",
  quality_score: "quality_score",
};

/** Makes nodes of the devices that are some and are not in the network yet; how many those were. */
export function registerWaterNodes(db: Queries): Promise<number> {
  return db.execute(
    `INSERT INTO water_infrastructure.nodes (node_id, node_name, location_name, zone_id)
     SELECT d.device_code, d.name, d.location_description, d.zone_id FROM iot.devices d
      WHERE d.removed_at IS NULL AND (d.device_type = 'water_node'
         OR EXISTS (SELECT FROM iot.sensors s WHERE s.device_id = d.id AND s.sensor_code = 'flow_rate'))
        AND NOT EXISTS (SELECT FROM water_infrastructure.nodes n WHERE n.node_id = d.device_code)
      ORDER BY d.device_code
     ON CONFLICT (node_id) DO NOTHING`,
  );
}

/** A node as somebody describes it; what is left out stays. */
export interface NodeDescription {
  node: string;
  name?: string | undefined;
  type?: string | undefined;
  /** Name of a zone of the first facility; made where it is not there. */
  zone?: string | undefined;
  upstream?: string | undefined;
  location?: string | undefined;
}

/** Puts nodes into the network, and into the registry. Nodes that others name as upstream come first in the list. */
export async function putWaterNodes(db: Queries, nodes: readonly NodeDescription[]): Promise<void> {
  await db.execute(
    `INSERT INTO core.zones (facility_id, name, zone_type)
     SELECT DISTINCT core.default_facility(), z, 'water_zone' FROM unnest($1::text[]) z WHERE z IS NOT NULL
     ON CONFLICT (facility_id, name) DO NOTHING`,
    [nodes.map(({ zone }) => zone ?? null)],
  );
  for (const { node, name, type, zone, upstream, location } of nodes) {
    await db.execute(
      `INSERT INTO water_infrastructure.nodes AS n (node_id, node_name, node_type, location_name, upstream_node_id, zone_id)
       VALUES ($1, $2, coalesce($3, 'unknown'), $4, $5,
               (SELECT id FROM core.zones WHERE facility_id = core.default_facility() AND name = $6))
       ON CONFLICT (node_id) DO UPDATE SET node_name = coalesce($2, n.node_name), node_type = coalesce($3, n.node_type),
         location_name = coalesce($4, n.location_name), upstream_node_id = coalesce($5, n.upstream_node_id),
         zone_id = coalesce(excluded.zone_id, n.zone_id), is_active = true, updated_at = now()`,
      [node, name ?? null, type ?? null, location ?? null, upstream ?? null, zone ?? null],
    );
  }
}

/** All nodes of the network with their sensors, by id. */
export async function listWaterNodes(db: Queries): Promise<WaterNode[]> {
  const rows = await db.query<
    Omit<WaterNode, "sensors"> & { field: string | null; sensor: WaterSensor | null }
  >(
    `SELECT n.node_id AS node, n.node_type AS type, z.name AS zone, n.upstream_node_id AS upstream,
            n.is_active AND d.removed_at IS NULL AS active, s.sensor_code AS field,
            CASE WHEN s.id IS NOT NULL THEN jsonb_build_object('id', s.id, 'offset', s.calibration_offset,
              'min', t.expected_range_min, 'max', t.expected_range_max) END AS sensor
       FROM water_infrastructure.nodes n JOIN iot.devices d ON d.device_code = n.node_id
       LEFT JOIN core.zones z ON z.id = n.zone_id
       LEFT JOIN iot.sensors s ON s.device_id = d.id AND s.sensor_code = ANY ($1) AND s.value_type IS DISTINCT FROM 'text'
       LEFT JOIN iot.sensor_types t ON t.id = s.sensor_type_id
      ORDER BY n.node_id, s.sensor_code`,
    [Object.keys(FIELDS)],
  );
  const nodes = new Map<string, WaterNode>();
  for (const { field, sensor, ...row } of rows) {
    const node = nodes.get(row.node) ?? { ...row, sensors: {} };
    nodes.set(row.node, node);
    const measure = FIELDS[field ?? ""];
    if (measure && sensor) node.sensors[measure] = sensor;
  }
  return [...nodes.values()];
}

/**
 * Readings of a node in [fromMs, toMs) and, for each measure, the last one of the day before, in order of time. What is
 * no usable number is null.
 */
export async function listWaterReadings(
  db: Queries,
  node: WaterNode,
  { fromMs, toMs }: { fromMs: number; toMs: number },
): Promise<WaterReading[]> {
  const sensors = Object.entries(node.sensors);
  const rows = await db.query<{ sensor: number; at: number; value: number | null }>(
    `SELECT m.sensor_id AS sensor, date_part('epoch', m.time) * 1000 AS at, CASE WHEN ${USABLE} THEN m.value END AS value
       FROM unnest($1::int[]) w (id)
      CROSS JOIN LATERAL (
        SELECT * FROM (SELECT * FROM public.measurement
                        WHERE sensor_id = w.id AND time >= $2::timestamptz - INTERVAL '1 day' AND time < $2
                        ORDER BY time DESC LIMIT 1) carried
         UNION ALL
        SELECT * FROM public.measurement WHERE sensor_id = w.id AND time >= $2 AND time < $3) m
      ORDER BY m.time`,
    [sensors.map(([, { id }]) => id), new Date(fromMs), new Date(toMs)],
  );
  const known = new Map(sensors.map(([measure, sensor]) => [sensor.id, { measure, offset: sensor.offset }]));
  return rows.flatMap(({ sensor, at, value }) => {
    const { measure, offset = 0 } = known.get(sensor) ?? {};
    if (measure === undefined) return [];
    return [{ measure: measure as WaterMeasure, atMs: at, value: value === null ? null : value + offset }];
  });
}

/** Count, mean, sum of squared deviations from it, and extremes, as `@sluice/analytics` has them. */
export interface MomentsRow {
  n: number;
  mean: number;
  m2: number;
  min: number;
  max: number;
}

/** Moments of an hour of a sensor: of its values, and of its steps from one reading to the next in absolute value. */
export interface HourMoments {
  measure: WaterMeasure;
  hourMs: number;
  values: MomentsRow;
  steps: MomentsRow;
}

/** Hours of a node's measures in [fromMs, toMs), which begin and end at whole hours. */
export async function listHourMoments(
  db: Queries,
  node: WaterNode,
  measures: readonly WaterMeasure[],
  { fromMs, toMs, longestStepMs }: { fromMs: number; toMs: number; longestStepMs: number },
): Promise<HourMoments[]> {
  const sensors = measures.flatMap((measure) => {
    const sensor = node.sensors[measure];
    return sensor ? [{ measure, ...sensor }] : [];
  });
  const moments = (column: string) =>
    `json_build_object('n', count(${column}), 'mean', coalesce(avg(${column}), 0), 'm2', coalesce(var_pop(${column}) * count(${column}), 0),
                       'min', coalesce(min(${column}), 0), 'max', coalesce(max(${column}), 0))`;
  const rows = await db.query<{ sensor: number; hour: Date; values: MomentsRow; steps: MomentsRow }>(
    `SELECT sensor, hour, ${moments("v")} AS values, ${moments("step")} AS steps
       FROM (SELECT sensor, time, date_bin(INTERVAL '1 hour', time, TIMESTAMPTZ '1970-01-01 00:00:00+00') AS hour, v,
                    CASE WHEN time - lag(time) OVER w <= $5::float8 * INTERVAL '1 ms' THEN abs(v - lag(v) OVER w) END AS step
               FROM (SELECT m.sensor_id AS sensor, m.time, m.value + x.shift AS v
                       FROM unnest($1::int[], $2::float8[]) x (id, shift) JOIN public.measurement m ON m.sensor_id = x.id
                      WHERE m.time >= $3::timestamptz - $5::float8 * INTERVAL '1 ms' AND m.time < $4 AND ${USABLE}) r
             WINDOW w AS (PARTITION BY sensor ORDER BY time)) s
      WHERE time >= $3 GROUP BY sensor, hour`,
    [
      sensors.map(({ id }) => id),
      sensors.map(({ offset }) => offset),
      new Date(fromMs),
      new Date(toMs),
      longestStepMs,
    ],
  );
  const measureOf = new Map(sensors.map(({ id, measure }) => [id, measure]));
  return rows.map(({ sensor, hour, values, steps }) => ({
    measure: measureOf.get(sensor) ?? "flow_rate",
    hourMs: hour.getTime(),
    values,
    steps,
  }));
}

const LEARNED_FROM = 500;

/** Times of the newest readings in [fromMs, toMs) of the sensor of a node that sent most, newest first. */
export async function listReadingTimes(
  db: Queries,
  node: WaterNode,
  { fromMs, toMs }: { fromMs: number; toMs: number },
): Promise<number[]> {
  const rows = await db.query<{ times: number[] }>(
    `SELECT array_agg(date_part('epoch', m.time) * 1000) AS times
       FROM unnest($1::int[]) w (id)
      CROSS JOIN LATERAL (SELECT time FROM public.measurement WHERE sensor_id = w.id AND time >= $2 AND time < $3
                           ORDER BY time DESC LIMIT $4) m
      GROUP BY w.id ORDER BY count(*) DESC, w.id LIMIT 1`,
    [Object.values(node.sensors).map(({ id }) => id), new Date(fromMs), new Date(toMs), LEARNED_FROM],
  );
  return rows[0]?.times ?? [];
}
