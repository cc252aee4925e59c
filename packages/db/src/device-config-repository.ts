import { NotFoundError } from "@sluice/shared-types";
import { writeAudit } from "./audit-repository.ts";
import type { Db, Queries } from "./open-db.ts";
import type { Actor } from "./user-repository.ts";

/** What a device shall be set to, and what it says that it is set to. */
export interface DeviceConfig {
  device: string;
  /** Rises with every change; 0: nobody has ever set one. */
  version: number;
  config: Record<string, unknown>;
  /** The version it last reported; null: none yet. */
  reportedVersion: number | null;
  reportedAt: Date | null;
}

const COLUMNS = `device_code AS device, config_version AS version, config,
  config_reported_version AS "reportedVersion", config_reported_at AS "reportedAt"`;

/** The configuration of a device. @throws NotFoundError */
export async function getDeviceConfig(db: Queries, device: string): Promise<DeviceConfig> {
  const [found] = await db.query<DeviceConfig>(
    `SELECT ${COLUMNS} FROM iot.devices WHERE device_code = $1 AND removed_at IS NULL`,
    [device],
  );
  if (!found) throw new NotFoundError(`no device '${device}'`);
  return found;
}

/** The configurations that these devices should have; of those that somebody has set. */
export function listDeviceConfigs(db: Queries, devices: readonly string[]): Promise<DeviceConfig[]> {
  return db.query<DeviceConfig>(
    `SELECT ${COLUMNS} FROM iot.devices
      WHERE device_code = ANY ($1) AND config_version > 0 AND removed_at IS NULL ORDER BY device_code`,
    [devices],
  );
}

/**
 * Sets what a device shall be set to, as a new version; with `merge` keys that are not given stay, and those given as
 * null go. Tell the gateways afterwards with `announceCommands`. @throws NotFoundError
 */
export async function putDeviceConfig(
  db: Db,
  device: string,
  config: object,
  { merge, actor = {} }: { merge: boolean; actor?: Actor },
): Promise<DeviceConfig> {
  return db.transaction(async (tx) => {
    const changed = await tx.execute(
      `UPDATE iot.devices SET config_version = config_version + 1, updated_at = now(),
              config = CASE WHEN $3 THEN jsonb_strip_nulls(config || $2::jsonb) ELSE $2::jsonb END
        WHERE device_code = $1 AND removed_at IS NULL`,
      [device, JSON.stringify(config), merge],
    );
    if (changed === 0) throw new NotFoundError(`no device '${device}'`);
    await writeAudit(tx, { event: "device.configured", entityType: "device", entityId: device, ...actor });
    return getDeviceConfig(tx, device);
  });
}

/** Notes which version a device says it is set to; an older word does not replace a newer one. */
export async function noteReportedConfig(
  db: Queries,
  reports: readonly { device: string; version: number; atUs: number }[],
): Promise<void> {
  for (const { device, version, atUs } of reports) {
    await db.execute(
      `UPDATE iot.devices SET config_reported_version = $2, config_reported_at = to_timestamp($3::float8 / 1e6)
        WHERE device_code = $1 AND coalesce(config_reported_at, '-infinity') <= to_timestamp($3::float8 / 1e6)`,
      [device, version, atUs],
    );
  }
}
