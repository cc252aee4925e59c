import type { Queries } from "./open-db.ts";

/** A numeric sensor in a room, where the controlled-environment document's pages look for it. */
export interface PlacedSensor {
  id: number;
  device: string;
  name: string;
  unit: string | null;
  calibrationOffset: number;
  /** The room. */
  location: string;
  rack: string | null;
}

/** Numeric sensors of devices that stand in a room, themselves or in a rack there; of one room where it is named. */
export function listPlacedSensors(db: Queries, location?: string): Promise<PlacedSensor[]> {
  return db.query<PlacedSensor>(
    `SELECT s.id, d.device_code AS device, s.sensor_code AS name, coalesce(s.unit, t.measurement_unit) AS unit,
            s.calibration_offset AS "calibrationOffset", o.name AS location, r.name AS rack
       FROM iot.devices d LEFT JOIN core.racks r ON r.id = d.rack_id
       JOIN core.rooms o ON o.id = coalesce(d.room_id, r.room_id)
       JOIN iot.sensors s ON s.device_id = d.id AND s.value_type IS DISTINCT FROM 'text'
       LEFT JOIN iot.sensor_types t ON t.id = s.sensor_type_id
      WHERE d.removed_at IS NULL AND ($1::text IS NULL OR o.name = $1)
      ORDER BY o.name, d.device_code, s.sensor_code`,
    [location ?? null],
  );
}

/** A room of the controlled-environment system. */
export interface Room {
  name: string;
  facility: string | null;
  targetVpd: number | null;
  targetTemp: number | null;
  setpoints: Record<string, number>;
}

/** Every room with its targets. */
export function listRooms(db: Queries): Promise<Room[]> {
  return db.query<Room>(
    `SELECT o.name, f.name AS facility, o.target_vpd AS "targetVpd", o.target_temp AS "targetTemp",
            coalesce((SELECT jsonb_object_agg(p.variable, p.target) FROM public.setpoints p WHERE p.room_id = o.id), '{}')
              AS setpoints
       FROM core.rooms o LEFT JOIN core.facilities f ON f.id = o.facility_id ORDER BY o.name`,
  );
}

/** What the usable readings of a sensor in a range come to, calibrated. */
export interface SensorStatistics {
  sensorId: number;
  n: number;
  min: number | null;
  max: number | null;
  avg: number | null;
  /** Of a sample; null for fewer than two. */
  stdDev: number | null;
}

/** Statistics of sensors over [fromUs, toUs), from every reading. */
export function listSensorStatistics(
  db: Queries,
  sensors: readonly number[],
  { fromUs, toUs }: { fromUs: number; toUs: number },
): Promise<SensorStatistics[]> {
  return db.query<SensorStatistics>(
    `SELECT sensor_id AS "sensorId", count(value)::int AS n, min(value), max(value), avg(value),
            stddev_samp(value) AS "stdDev"
       FROM public.measurement_calibrated
      WHERE sensor_id = ANY ($1::int[]) AND status <> 'error'
        AND time >= to_timestamp(0) + $2::int8 * INTERVAL '1 microsecond'
        AND time < to_timestamp(0) + $3::int8 * INTERVAL '1 microsecond'
      GROUP BY sensor_id`,
    [sensors, fromUs, toUs],
  );
}
