import type { Queries } from "./open-db.ts";

/** A field of a device. */
export interface Series {
  device: string;
  field: string;
}

/** A sensor of a device, with its newest reading. */
export interface Sensor {
  field: string;
  unit: string | null;
  valueType: "number" | "text" | null;
  status: string;
  /** Newest value, text where the sensor's values are; null where there is none yet or the sensor failed. */
  value: number | string | null;
  time: Date | null;
}

/** How many readings are stored of all these series together, at any time. */
export async function countReadings(db: Queries, series: readonly Series[]): Promise<number> {
  const [row] = await db.query<{ count: number }>(
    `WITH wanted AS (
       SELECT s.id FROM unnest($1::text[], $2::text[]) AS w (device, field)
         JOIN iot.devices d ON d.device_code = w.device
         JOIN iot.sensors s ON s.device_id = d.id AND s.sensor_code = w.field)
     SELECT (SELECT count(*) FROM public.measurement WHERE sensor_id IN (SELECT id FROM wanted))
          + (SELECT count(*) FROM public.measurement_text WHERE sensor_id IN (SELECT id FROM wanted)) AS count`,
    [series.map((s) => s.device), series.map((s) => s.field)],
  );
  return row?.count ?? 0;
}

/** Notes the unit of sensors that have none yet; resolves with how many it noted. Unknown series are passed over. */
export function noteUnits(db: Queries, units: readonly (Series & { unit: string })[]): Promise<number> {
  return db.execute(
    `UPDATE iot.sensors s SET unit = w.unit
       FROM unnest($1::text[], $2::text[], $3::text[]) AS w (device, field, unit)
       JOIN iot.devices d ON d.device_code = w.device
      WHERE s.device_id = d.id AND s.sensor_code = w.field AND s.unit IS NULL`,
    [units.map((u) => u.device), units.map((u) => u.field), units.map((u) => u.unit)],
  );
}

/** The sensors of a device by name, each with its newest reading. */
export function listSensors(db: Queries, device: string): Promise<Sensor[]> {
  return db.query<Sensor>(
    `SELECT s.sensor_code AS field, s.unit, s.value_type AS "valueType", s.status,
            coalesce(to_jsonb(n.value), to_jsonb(t.value)) AS value, coalesce(n.time, t.time) AS time
       FROM iot.devices d
       JOIN iot.sensors s ON s.device_id = d.id
       LEFT JOIN LATERAL (SELECT time, value FROM public.measurement m
                           WHERE m.sensor_id = s.id ORDER BY time DESC LIMIT 1) n ON true
       LEFT JOIN LATERAL (SELECT time, value FROM public.measurement_text m
                           WHERE m.sensor_id = s.id ORDER BY time DESC LIMIT 1) t ON n.time IS NULL
      WHERE d.device_code = $1 ORDER BY s.sensor_code`,
    [device],
  );
}

/** Sequence numbers of a device that never came, by boot: the holes between those that did. */
export interface SequenceGap {
  boot: string;
  from: number;
  to: number;
  missing: number;
}

/** The newest `limit` sequence gaps of a device. */
export function listSequenceGaps(db: Queries, device: string, limit: number): Promise<SequenceGap[]> {
  return db.query<SequenceGap>(
    `SELECT boot, from_seq AS "from", to_seq AS "to", missing FROM public.device_sequence_gap
      WHERE device_code = $1 ORDER BY last_at DESC, from_seq DESC LIMIT $2`,
    [device, limit],
  );
}

/** A reading as it was sent. */
export interface SentReading extends Series {
  timeUs: number;
  value: number | string | boolean | null;
}

/** How many of these readings are not stored, or are stored with another value. */
export async function countNotStored(db: Queries, readings: readonly SentReading[]): Promise<number> {
  const [row] = await db.query<{ count: number }>(
    `SELECT count(*) AS count
       FROM unnest($1::text[], $2::text[], $3::int8[], $4::float8[], $5::text[]) AS w (device, field, us, number, text)
      WHERE NOT EXISTS (
        SELECT FROM iot.devices d JOIN iot.sensors s ON s.device_id = d.id AND s.sensor_code = w.field
          LEFT JOIN public.measurement m ON m.sensor_id = s.id AND m.time = to_timestamp(0) + w.us * INTERVAL '1 microsecond'
          LEFT JOIN public.measurement_text t ON t.sensor_id = s.id AND t.time = to_timestamp(0) + w.us * INTERVAL '1 microsecond'
         WHERE d.device_code = w.device AND (m.value = w.number OR t.value = w.text
            OR (m.sensor_id IS NOT NULL AND m.value IS NULL AND w.text IS NULL)))`,
    [
      readings.map((r) => r.device),
      readings.map((r) => r.field),
      readings.map((r) => r.timeUs),
      readings.map((r) => toNumber(r.value)),
      readings.map((r) => (r.value === null ? null : String(r.value))),
    ],
  );
  return row?.count ?? 0;
}

function toNumber(value: SentReading["value"]): number | null {
  if (value === null || value === "") return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

/** What quarantine holds since then of accepted messages: the payload of each message refused in whole or in part. */
export function listRefusedMessages(
  db: Queries,
  messageIds: readonly string[],
  since: Date,
): Promise<{ messageId: string; device: string; type: string | null; payload: Buffer; reasons: string[] }[]> {
  return db.query(
    `SELECT message_id AS "messageId", min(device) AS device, min(type) AS type,
            (array_agg(payload ORDER BY id))[1] AS payload, array_agg(DISTINCT reason) AS reasons
       FROM public.quarantine WHERE message_id = ANY($1) AND created_at >= $2 GROUP BY message_id ORDER BY message_id`,
    [messageIds, since],
  );
}
