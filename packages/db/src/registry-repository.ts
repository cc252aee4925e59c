import { writeAudit } from "./audit-repository.ts";
import type { Device } from "./device-repository.ts";
import type { Db, Queries } from "./open-db.ts";
import { applyChange } from "./registry-change.ts";
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
