import { type NewDevice, NotFoundError, parseDeviceId } from "@sluice/shared-types";
import { CREDENTIALS_CHANNEL } from "./credential-repository.ts";
import type { Db, Queries, Transaction } from "./open-db.ts";
import { API_KEY_PREFIX, createSecret, hashSecret } from "./secrets.ts";

/** A registered device, with its presence. */
export interface Device {
  id: string;
  /** Key of `iot.devices`. */
  deviceId: number;
  type: string;
  name: string | null;
  location: string | null;
  /** May it connect? `none` has no credential: it was seen under somebody else's, or was imported. */
  access: "active" | "disabled" | "none";
  username: string | null;
  status: "online" | "offline" | "maintenance" | "error";
  lastHeartbeat: Date | null;
  lastDataReceived: Date | null;
  /** Whose clock its last message was stored under: device, age, none, past, future, unparsable; null: none yet. */
  clock: string | null;
  /** Server time minus device time, learned from its live messages; null where it gives no time. */
  clockSkewMs: number | null;
  facilityId: number;
  zoneId: number | null;
  roomId: number | null;
  rackId: number | null;
  sensors: number;
  createdAt: Date;
}

/** What a new device is. */
export interface DeviceInput {
  id: string;
  type?: string;
  name?: string;
  location?: string;
  /** Acknowledge on `/ack` once stored. */
  ackStored?: boolean;
  /** IANA zone of its naive times. */
  timeZone?: string;
}

const COLUMNS = `SELECT d.device_code AS id, d.id AS "deviceId", d.device_type AS type, d.name,
       d.location_description AS location, coalesce(c.status, 'none') AS access, c.username, d.status,
       d.last_heartbeat AS "lastHeartbeat", d.last_data_received AS "lastDataReceived",
       d.clock, d.clock_skew_ms AS "clockSkewMs",
       d.facility_id AS "facilityId", d.zone_id AS "zoneId", d.room_id AS "roomId", d.rack_id AS "rackId",
       (SELECT count(*) FROM iot.sensors s WHERE s.device_id = d.id) AS sensors, d.created_at AS "createdAt"
  FROM iot.devices d
  LEFT JOIN LATERAL (SELECT c.username, c.status FROM iot.credential_devices o
                       JOIN iot.credentials c ON c.id = o.credential_id
                      WHERE o.device_id = d.id ORDER BY c.id LIMIT 1) c ON true
 WHERE d.removed_at IS NULL`;

/** A device of that id already has a credential. */
export class DeviceExistsError extends Error {
  override readonly name = "DeviceExistsError";
}

/**
 * Registers a device and gives it a credential. The secrets in the answer are not kept anywhere in clear text.
 * A device that registered itself by sending, or was removed, is taken over with its history.
 * @throws DeviceExistsError where it already has a credential; InvalidInputError on an illegal id
 */
export async function createDevice(db: Db, pepper: string, input: DeviceInput): Promise<NewDevice> {
  const id = parseDeviceId(input.id);
  const fresh = createDeviceSecrets(id);
  await db.transaction(async (tx) => {
    const [device] = await tx.query<{ id: number }>(
      `INSERT INTO iot.devices (device_code, device_type, name, location_description)
       VALUES ($1, coalesce($2, 'esp32'), $3, $4)
       ON CONFLICT (device_code) DO UPDATE SET device_type = coalesce($2, devices.device_type),
         name = coalesce($3, devices.name), removed_at = NULL, updated_at = now(),
         location_description = coalesce($4, devices.location_description)
       RETURNING id`,
      [id, input.type ?? null, input.name ?? null, input.location ?? null],
    );
    const [credential] = await tx.query<{ id: number }>(
      `INSERT INTO iot.credentials (username, password_hash, api_key_hash, ack_stored, time_zone)
       VALUES ($1, $2, $3, $4, $5) ON CONFLICT (username) DO NOTHING RETURNING id`,
      [
        fresh.username,
        hashSecret(pepper, fresh.password),
        hashSecret(pepper, fresh.apiKey),
        input.ackStored ?? false,
        input.timeZone ?? "UTC",
      ],
    );
    if (!device || !credential) throw new DeviceExistsError(`device '${id}' already exists`);
    await tx.execute("INSERT INTO iot.credential_devices (credential_id, device_id) VALUES ($1, $2)", [
      credential.id,
      device.id,
    ]);
    await announce(tx, fresh.username, "device.created", id);
  });
  return { id, ...fresh };
}

/** All devices by id. */
export function listDevices(db: Queries): Promise<Device[]> {
  return db.query<Device>(`${COLUMNS} ORDER BY d.device_code`);
}

/** One device. @throws NotFoundError */
export async function getDevice(db: Queries, id: string): Promise<Device> {
  const [device] = await db.query<Device>(`${COLUMNS} AND d.device_code = $1`, [id]);
  if (!device) throw notFound(id);
  return device;
}

/**
 * Gives a device new secrets. The old ones stay good for `overlapMs`, so that a device can be changed over in time.
 * @throws NotFoundError where it has no credential
 */
export async function rotateDevice(
  db: Db,
  pepper: string,
  id: string,
  options: { overlapMs: number },
): Promise<NewDevice> {
  return db.transaction(async (tx) => {
    const nowMs = Date.now();
    const [old] = await tx.query<CredentialSecrets>(
      `SELECT c.id, c.username, c.password_hash, c.api_key_hash, c.previous FROM iot.credentials c
         JOIN iot.credential_devices o ON o.credential_id = c.id JOIN iot.devices d ON d.id = o.device_id
        WHERE d.device_code = $1 AND d.removed_at IS NULL ORDER BY c.id LIMIT 1 FOR UPDATE OF c`,
      [id],
    );
    if (!old) throw notFound(id);
    const fresh = { ...createDeviceSecrets(id), username: old.username };
    const replaced = [old.password_hash, old.api_key_hash].filter((hash) => hash !== null);
    const previous = [
      ...old.previous.filter(({ validUntilMs }) => validUntilMs > nowMs),
      ...replaced.map((hash) => ({ hash, validUntilMs: nowMs + options.overlapMs })),
    ].filter(({ validUntilMs }) => validUntilMs > nowMs);
    await tx.execute(
      `UPDATE iot.credentials SET password_hash = $2, api_key_hash = $3, previous = $4, updated_at = now() WHERE id = $1`,
      [
        old.id,
        hashSecret(pepper, fresh.password),
        hashSecret(pepper, fresh.apiKey),
        JSON.stringify(previous),
      ],
    );
    await announce(tx, fresh.username, "device.rotated", id);
    return { id, ...fresh };
  });
}

/** Refuses the device until it is enabled again. @throws NotFoundError */
export function disableDevice(db: Db, id: string): Promise<void> {
  return setAccess(db, id, "disabled");
}

/** Lets a disabled device in again. @throws NotFoundError */
export function enableDevice(db: Db, id: string): Promise<void> {
  return setAccess(db, id, "active");
}

/**
 * Takes away the device's credential. What it sent stays, under its name; a device that never sent anything is
 * forgotten. @throws NotFoundError
 */
export async function removeDevice(db: Db, id: string): Promise<void> {
  await db.transaction(async (tx) => {
    const [device] = await tx.query<{ id: number }>(
      "SELECT id FROM iot.devices WHERE device_code = $1 AND removed_at IS NULL FOR UPDATE",
      [id],
    );
    if (!device) throw notFound(id);
    const gone = await tx.query<{ username: string }>(
      `DELETE FROM iot.credentials c USING iot.credential_devices o
        WHERE o.credential_id = c.id AND o.device_id = $1
          AND NOT EXISTS (SELECT FROM iot.credential_devices x WHERE x.credential_id = c.id AND x.device_id <> $1)
        RETURNING c.username`,
      [device.id],
    );
    await tx.execute("DELETE FROM iot.credential_devices WHERE device_id = $1", [device.id]);
    const [{ known } = { known: true }] = await tx.query<{ known: boolean }>(
      "SELECT EXISTS (SELECT FROM iot.sensors WHERE device_id = $1) AS known",
      [device.id],
    );
    if (known) await tx.execute("UPDATE iot.devices SET removed_at = now() WHERE id = $1", [device.id]);
    else await tx.execute("DELETE FROM iot.devices WHERE id = $1", [device.id]);
    await announce(tx, gone[0]?.username ?? id, "device.removed", id);
  });
}

interface CredentialSecrets {
  id: number;
  username: string;
  password_hash: string;
  api_key_hash: string | null;
  previous: { hash: string; validUntilMs: number }[];
}

/** Name and fresh secrets of a device's credential. */
export const createDeviceSecrets = (id: string) => ({
  username: `dev_${id}`,
  password: createSecret(24),
  apiKey: `${API_KEY_PREFIX}${createSecret(32)}`,
});

const notFound = (id: string) => new NotFoundError(`no device '${id}'`);

async function setAccess(db: Db, id: string, status: "active" | "disabled"): Promise<void> {
  await db.transaction(async (tx) => {
    const changed = await tx.query<{ username: string }>(
      `UPDATE iot.credentials c SET status = $2, updated_at = now()
         FROM iot.credential_devices o JOIN iot.devices d ON d.id = o.device_id
        WHERE o.credential_id = c.id AND d.device_code = $1 AND d.removed_at IS NULL RETURNING c.username`,
      [id, status],
    );
    if (changed.length === 0) throw notFound(id);
    for (const { username } of changed) {
      await announce(tx, username, status === "active" ? "device.enabled" : "device.disabled", id);
    }
  });
}

/** Tells the gateways, and the audit log, once the transaction is committed. */
async function announce(tx: Transaction, username: string, event: string, id: string): Promise<void> {
  await tx.query("SELECT pg_notify($1, $2)", [CREDENTIALS_CHANNEL, username]);
  await tx.execute(
    "INSERT INTO audit.events (event_type, entity_type, entity_id, message) VALUES ($1, 'device', $2, $3)",
    [event, id, `${event} ${username}`],
  );
}
