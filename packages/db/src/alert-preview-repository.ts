import type { RuleInput } from "./alert-rule-repository.ts";
import type { Queries } from "./open-db.ts";

/** The past readings of one sensor that a rule would have judged, in order of time, calibrated. */
export interface PastReadings {
  sensorId: number;
  device: string;
  sensor: string;
  readings: { timeUs: number; value: number }[];
  /** There were more: what is here ends earlier than the stretch that was asked for. */
  cut: boolean;
}

type Scope = Pick<RuleInput, "sensorType" | "device">;
type Stretch = { from: Date; to: Date };

/** Readings of the sensors that a rule watches, at most `maxSensors` of them, and `maxReadings` of each. */
export async function readPast(
  db: Queries,
  rule: Scope,
  { from, to }: Stretch,
  { maxSensors, maxReadings }: { maxSensors: number; maxReadings: number },
): Promise<PastReadings[]> {
  const sensors = await db.query<{ sensorId: number; device: string; sensor: string; offset: number }>(
    `SELECT s.id AS "sensorId", d.device_code AS device, s.sensor_code AS sensor, s.calibration_offset AS "offset"
       FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id LEFT JOIN iot.sensor_types t ON t.id = s.sensor_type_id
      WHERE (s.sensor_code = $1 OR t.name = $1) AND ($2::text IS NULL OR d.device_code = $2)
        AND s.value_type IS DISTINCT FROM 'text' AND d.removed_at IS NULL
      ORDER BY s.id LIMIT $3`,
    [rule.sensorType, rule.device, maxSensors],
  );
  const past: PastReadings[] = [];
  for (const { offset, ...sensor } of sensors) {
    const readings = await db.query<{ timeUs: number; value: number }>(
      `SELECT (extract(epoch FROM time) * 1000000)::float8 AS "timeUs", value + $4::float8 AS value FROM public.measurement
        WHERE sensor_id = $1 AND time >= $2 AND time < $3 AND value IS NOT NULL ORDER BY time LIMIT $5`,
      [sensor.sensorId, from, to, offset, maxReadings + 1],
    );
    past.push({ ...sensor, readings: readings.slice(0, maxReadings), cut: readings.length > maxReadings });
  }
  return past;
}

/** A stretch in which nothing came from a device. */
export interface Silence {
  device: string;
  from: Date;
  /** The next reading; null: none since. */
  to: Date | null;
}

/** Stretches longer than `minutes` without a reading, between readings of the device or after its last one. */
export function findSilences(
  db: Queries,
  device: string | null,
  { from, to }: Stretch,
  { minutes, limit }: { minutes: number; limit: number },
): Promise<Silence[]> {
  return db.query<Silence>(
    `SELECT d.device_code AS device, g.time AS from, g.next AS to
       FROM iot.devices d, LATERAL (
         SELECT time, lead(time) OVER (ORDER BY time) AS next
           FROM (SELECT DISTINCT m.time FROM iot.sensors s JOIN public.measurement m ON m.sensor_id = s.id
                  WHERE s.device_id = d.id AND m.time >= $2 AND m.time < $3) t) g
      WHERE d.removed_at IS NULL AND ($1::text IS NULL OR d.device_code = $1)
        AND coalesce(g.next, least($3::timestamptz, now())) - g.time > $4::float8 * INTERVAL '1 min'
      ORDER BY g.time DESC LIMIT $5`,
    [device, from, to, minutes, limit],
  );
}
