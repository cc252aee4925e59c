import { NotFoundError } from "@sluice/shared-types";
import { type AuditEntry, writeAudit } from "./audit-repository.ts";
import type { Device } from "./device-repository.ts";
import type { Db, Queries } from "./open-db.ts";
import type { Actor } from "./user-repository.ts";

/** What is to be added is there already, or what is to be taken away is still used. */
export class RegistryConflictError extends Error {
  override readonly name = "RegistryConflictError";
}

/** Which devices: those after a device id, only some, only of a status. */
export interface DeviceFilter {
  after?: string | undefined;
  /** Nothing but these; null or undefined: all. */
  only?: readonly string[] | null | undefined;
  status?: string | undefined;
  type?: string | undefined;
  /** Part of its id, name or location. */
  search?: string | undefined;
  /** How many to leave out. */
  offset?: number | undefined;
}

/** A device of a list, with how it does. */
export interface DeviceOverview extends Device {
  /** Holes in its sequence numbers, and the messages missing in them. */
  gaps: number;
  missing: number;
  /** Readings stored of the last minute, by their time. */
  readingsPerMinute: number;
}

/** Devices with their presence, by id, up to `limit`. */
export function listDevicePage(db: Queries, filter: DeviceFilter, limit: number): Promise<DeviceOverview[]> {
  return db.query<DeviceOverview>(
    `WITH page AS (
       SELECT d.* FROM iot.devices d
        WHERE d.removed_at IS NULL AND ($1::text IS NULL OR d.device_code > $1)
          AND ($2::text[] IS NULL OR d.device_code = ANY ($2))
          AND ($3::text IS NULL OR d.status = $3) AND ($4::text IS NULL OR d.device_type = $4)
          AND ($5::text IS NULL OR d.device_code ILIKE $5 OR d.name ILIKE $5 OR d.location_description ILIKE $5)
        ORDER BY d.device_code LIMIT $6 OFFSET $7)
     SELECT d.device_code AS id, d.id AS "deviceId", d.device_type AS type, d.name, d.location_description AS location,
            coalesce(c.status, 'none') AS access, c.username, d.status, d.last_heartbeat AS "lastHeartbeat",
            d.last_data_received AS "lastDataReceived", d.clock, d.clock_skew_ms AS "clockSkewMs",
            d.facility_id AS "facilityId", d.zone_id AS "zoneId", d.room_id AS "roomId", d.rack_id AS "rackId",
            (SELECT count(*) FROM iot.sensors s WHERE s.device_id = d.id) AS sensors, d.created_at AS "createdAt",
            g.gaps, g.missing, r.n AS "readingsPerMinute"
       FROM page d
       LEFT JOIN LATERAL (SELECT c.username, c.status FROM iot.credential_devices o
                            JOIN iot.credentials c ON c.id = o.credential_id
                           WHERE o.device_id = d.id ORDER BY c.id LIMIT 1) c ON true
       LEFT JOIN LATERAL (SELECT count(*) AS gaps, coalesce(sum(missing), 0)::int8 AS missing
                            FROM public.device_sequence_gap g WHERE g.device_id = d.id) g ON true
       LEFT JOIN LATERAL (SELECT count(*) AS n FROM iot.sensors s JOIN public.measurement m ON m.sensor_id = s.id
                           WHERE s.device_id = d.id AND d.last_data_received > now() - INTERVAL '2 minutes'
                             AND m.time > now() - INTERVAL '1 minute' AND m.time <= now()) r ON true
      ORDER BY d.device_code`,
    [
      filter.after ?? null,
      filter.only ?? null,
      filter.status ?? null,
      filter.type ?? null,
      filter.search === undefined ? null : `%${filter.search.replace(/[\\%_]/g, "\\$&")}%`,
      limit,
      filter.offset ?? 0,
    ],
  );
}

/** How many devices there are, by presence. */
export function countDevices(db: Queries): Promise<{ status: string; count: number }[]> {
  return db.query(
    "SELECT status, count(*) AS count FROM iot.devices WHERE removed_at IS NULL GROUP BY status ORDER BY status",
  );
}

/** What can be changed of a device. */
export interface DeviceChange {
  name?: string | null | undefined;
  type?: string | undefined;
  location?: string | null | undefined;
  /** `maintenance` and `error` stay until they are taken back; presence moves between the other two. */
  status?: "online" | "offline" | "maintenance" | "error" | undefined;
  firmware?: string | undefined;
  hardware?: string | undefined;
  facilityId?: number | undefined;
  zoneId?: number | null | undefined;
  roomId?: number | null | undefined;
  rackId?: number | null | undefined;
}

/** Changes a device. @throws NotFoundError */
export async function updateDevice(
  db: Db,
  id: string,
  change: DeviceChange,
  actor: Actor = {},
): Promise<void> {
  await applyChange(db, "device", id, change, actor, {
    table: "iot.devices",
    key: "device_code",
    columns: {
      name: "name",
      type: "device_type",
      location: "location_description",
      status: "status",
      firmware: "firmware_version",
      hardware: "hardware_version",
      facilityId: "facility_id",
      zoneId: "zone_id",
      roomId: "room_id",
      rackId: "rack_id",
    },
  });
}

/** A sensor with its settings. */
export interface SensorSettings {
  id: number;
  device: string;
  field: string;
  type: string | null;
  valueType: "number" | "text" | null;
  unit: string | null;
  calibrationOffset: number;
  status: string;
  sampleIntervalSeconds: number | null;
  notes: string | null;
}

/** Sensors after an id, of some devices where named. */
export function listSensorPage(
  db: Queries,
  filter: { after?: number | undefined; only?: readonly string[] | null | undefined },
  limit: number,
): Promise<SensorSettings[]> {
  return db.query<SensorSettings>(
    `SELECT s.id, d.device_code AS device, s.sensor_code AS field, t.name AS type, s.value_type AS "valueType",
            coalesce(s.unit, t.measurement_unit) AS unit, s.calibration_offset AS "calibrationOffset", s.status,
            extract(epoch FROM s.sample_interval)::float8 AS "sampleIntervalSeconds", s.notes
       FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id LEFT JOIN iot.sensor_types t ON t.id = s.sensor_type_id
      WHERE ($1::int IS NULL OR s.id > $1) AND ($2::text[] IS NULL OR d.device_code = ANY ($2)) ORDER BY s.id LIMIT $3`,
    [filter.after ?? null, filter.only ?? null, limit],
  );
}

/** What can be changed of a sensor. */
export interface SensorChange {
  unit?: string | null | undefined;
  calibrationOffset?: number | undefined;
  status?: "active" | "inactive" | "calibrating" | "faulty" | undefined;
  /** Name of a sensor type. */
  type?: string | null | undefined;
  sampleIntervalSeconds?: number | null | undefined;
  notes?: string | null | undefined;
}

/** Changes a sensor; a new interval has its rollups made anew. @throws NotFoundError on an unknown sensor or type */
export async function updateSensor(
  db: Db,
  id: number,
  change: SensorChange,
  actor: Actor = {},
): Promise<void> {
  const { type, sampleIntervalSeconds, ...rest } = change;
  const resolved: Record<string, unknown> = { ...rest };
  if (type !== undefined) {
    const [row] =
      type === null
        ? []
        : await db.query<{ id: number }>("SELECT id FROM iot.sensor_types WHERE name = $1", [type]);
    if (type !== null && !row) throw new NotFoundError(`no sensor type '${type}'`);
    resolved.type = row?.id ?? null;
  }
  if (sampleIntervalSeconds !== undefined) {
    resolved.sampleIntervalSeconds =
      sampleIntervalSeconds === null ? null : `${sampleIntervalSeconds} seconds`;
  }
  await applyChange(db, "sensor", id, resolved, actor, {
    table: "iot.sensors",
    key: "id",
    columns: {
      unit: "unit",
      calibrationOffset: "calibration_offset",
      status: "status",
      type: "sensor_type_id",
      sampleIntervalSeconds: "sample_interval",
      notes: "notes",
    },
  });
}

/** A kind of sensor. */
export interface SensorType {
  id: number;
  name: string;
  unit: string | null;
  category: string | null;
  expectedMin: number | null;
  expectedMax: number | null;
  description: string | null;
}

/** All kinds of sensors, by name. */
export function listSensorTypes(db: Queries): Promise<SensorType[]> {
  return db.query<SensorType>(
    `SELECT id, name, measurement_unit AS unit, metric_category AS category, expected_range_min::float8 AS "expectedMin",
            expected_range_max::float8 AS "expectedMax", description FROM iot.sensor_types ORDER BY name LIMIT 1000`,
  );
}

/** Adds a kind of sensor, or changes the one of that name. */
export async function putSensorType(
  db: Db,
  type: Pick<SensorType, "name"> & Partial<Omit<SensorType, "id" | "name">>,
  actor: Actor = {},
): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.execute(
      `INSERT INTO iot.sensor_types (name, measurement_unit, metric_category, expected_range_min, expected_range_max, description)
       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO UPDATE SET measurement_unit = excluded.measurement_unit,
         metric_category = excluded.metric_category, expected_range_min = excluded.expected_range_min,
         expected_range_max = excluded.expected_range_max, description = excluded.description`,
      [
        type.name,
        type.unit ?? null,
        type.category ?? null,
        type.expectedMin ?? null,
        type.expectedMax ?? null,
        type.description ?? null,
      ],
    );
    await writeAudit(tx, {
      event: "sensor_type.changed",
      entityType: "sensor_type",
      entityId: type.name,
      data: type,
      ...actor,
    });
  });
}

interface Target {
  table: string;
  key: string;
  columns: Record<string, string>;
}

/** Sets what is given, with a line in the audit log. Columns come from `target`, never from outside. */
async function applyChange(
  db: Db,
  entity: string,
  id: string | number,
  change: object,
  actor: Actor,
  target: Target,
): Promise<void> {
  const given = Object.entries(change).filter(
    ([name, value]) => value !== undefined && name in target.columns,
  );
  await db.transaction(async (tx) => {
    const sets = given.map(([name], i) => `${target.columns[name]} = $${i + 2}`);
    const where = entity === "device" ? "AND removed_at IS NULL" : "";
    const changed = await tx.execute(
      `UPDATE ${target.table} SET ${[`${target.key} = ${target.key}`, ...sets].join(", ")} WHERE ${target.key} = $1 ${where}`,
      [id, ...given.map(([, value]) => value)],
    );
    if (changed === 0) throw new NotFoundError(`no ${entity} '${id}'`);
    const entry: AuditEntry = { event: `${entity}.changed`, entityType: entity, entityId: `${id}`, ...actor };
    await writeAudit(tx, { ...entry, data: { ...actor.data, change: Object.fromEntries(given) } });
  });
}

/** Removes readings of a device from a range, of one field where named, and has its rollups made anew; how many. */
export async function deleteReadings(
  db: Db,
  device: string,
  range: { fromUs: number; toUs: number; field?: string | undefined },
  actor: Actor = {},
): Promise<number> {
  return db.transaction(async (tx) => {
    const sensors = await tx.query<{ id: number }>(
      `SELECT s.id FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id
        WHERE d.device_code = $1 AND ($2::text IS NULL OR s.sensor_code = $2) ORDER BY s.id`,
      [device, range.field ?? null],
    );
    const params = [sensors.map(({ id }) => id), range.fromUs, range.toUs];
    const within = `sensor_id = ANY ($1) AND time >= to_timestamp(0) + $2::int8 * INTERVAL '1 microsecond'
                    AND time < to_timestamp(0) + $3::int8 * INTERVAL '1 microsecond'`;
    let deleted = 0;
    for (const table of ["measurement", "measurement_text"]) {
      deleted += await tx.execute(`DELETE FROM public.${table} WHERE ${within}`, params);
    }
    await tx.execute(`DELETE FROM public.quality_flag WHERE ${within}`, params);
    await tx.query(
      `SELECT public.mark_rollup_rebuild(id, to_timestamp(0) + $2::int8 * INTERVAL '1 microsecond',
                                         to_timestamp(0) + $3::int8 * INTERVAL '1 microsecond') FROM unnest($1::int[]) AS id`,
      params,
    );
    const data = { ...range, deleted };
    await writeAudit(tx, {
      event: "readings.deleted",
      severity: "warning",
      entityType: "device",
      entityId: device,
      ...actor,
      data,
    });
    return deleted;
  });
}

/** A run of a job. */
export interface JobRun {
  id: string;
  job: string;
  status: string;
  trigger: string;
  createdAt: Date;
  startedAt: Date | null;
  completedAt: Date | null;
  seconds: number | null;
  from: Date | null;
  to: Date | null;
  summary: unknown;
  error: string | null;
}

/** The newest `limit` runs before an instant, of one job where named. */
export function listRuns(
  db: Queries,
  filter: { job?: string | undefined; before?: Date | undefined },
  limit: number,
): Promise<JobRun[]> {
  return db.query<JobRun>(
    `SELECT job_id AS id, job_name AS job, status, triggered_by AS trigger, created_at AS "createdAt",
            started_at AS "startedAt", completed_at AS "completedAt", duration_seconds AS seconds,
            data_start_time AS "from", data_end_time AS "to", result_summary AS summary, error_message AS error
       FROM public.processing_jobs
      WHERE ($1::text IS NULL OR job_name = $1) AND ($2::timestamptz IS NULL OR created_at < $2)
      ORDER BY created_at DESC, job_id LIMIT $3`,
    [filter.job ?? null, filter.before ?? null, limit],
  );
}

/** Whether some scheduler leads now. */
export async function isSchedulerRunning(db: Queries): Promise<boolean> {
  const rows = await db.query(
    "SELECT FROM public.etl_lease WHERE job_name = '#leader' AND expires_at > now()",
  );
  return rows.length > 0;
}
