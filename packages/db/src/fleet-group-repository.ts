import { NotFoundError } from "@sluice/shared-types";
import { COMMAND_LIFE_MS, type Command, listCommands, type NewCommand } from "./command-repository.ts";
import type { Db, Queries } from "./open-db.ts";

const MOST_MEMBERS = 100_000;

/** A command to every member of a group. */
export type NewFleetCommand = Omit<NewCommand, "device" | "dedupeKey"> & { group: string };

/** Makes the command and each member's part of it; those parts. The group `all` is every device. @throws NotFoundError */
export async function createFleetCommand(db: Db, command: NewFleetCommand): Promise<Command[]> {
  const { group, type, payload, source, userId, priority, lifeMs = COMMAND_LIFE_MS } = command;
  const id = await db.transaction(async (tx) => {
    if (group !== "all") await requireGroup(tx, group);
    const [fleet] = await tx.query<{ id: number }>(
      `INSERT INTO iot.fleet_commands (group_name, command_type, command_payload, issued_by, expires_at)
       VALUES ($1, $2, $3, $4, now() + $5::float8 * INTERVAL '1 ms') RETURNING id`,
      [group, type, JSON.stringify(payload), userId ?? null, lifeMs],
    );
    await tx.execute(
      `INSERT INTO iot.device_commands (device_id, command_type, command_payload, source, issued_by, priority, expires_at,
                                        fleet_command_id)
       SELECT d.id, f.command_type, f.command_payload, $2, f.issued_by, $3, f.expires_at, f.id
         FROM iot.fleet_commands f, iot.devices d
        WHERE f.id = $1 AND d.removed_at IS NULL
          AND (f.group_name = 'all' OR d.id IN (SELECT m.device_id FROM iot.fleet_members m WHERE m.group_name = f.group_name))
        ORDER BY d.id`,
      [fleet?.id, source, priority ?? 5],
    );
    return fleet?.id;
  });
  return listCommands(db, { fleetCommandId: id }, MOST_MEMBERS);
}

/** A group of devices. */
export interface FleetGroup {
  name: string;
  description: string | null;
  devices: string[];
}

/** All groups, with their members. */
export function listFleetGroups(db: Queries): Promise<FleetGroup[]> {
  return db.query<FleetGroup>(
    `SELECT g.name, g.description,
            coalesce(array_agg(d.device_code::text ORDER BY d.device_code) FILTER (WHERE d.id IS NOT NULL), '{}') AS devices
       FROM iot.fleet_groups g LEFT JOIN iot.fleet_members m ON m.group_name = g.name
       LEFT JOIN iot.devices d ON d.id = m.device_id AND d.removed_at IS NULL
      GROUP BY g.name, g.description ORDER BY g.name LIMIT 1000`,
  );
}

/** Makes a group, or gives it exactly these members. @throws NotFoundError naming a device that is not there */
export async function putFleetGroup(db: Db, group: FleetGroup): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.execute(
      `INSERT INTO iot.fleet_groups (name, description) VALUES ($1, $2)
       ON CONFLICT (name) DO UPDATE SET description = excluded.description`,
      [group.name, group.description],
    );
    const known = await tx.query<{ device: string }>(
      "SELECT device_code AS device FROM iot.devices WHERE device_code = ANY ($1) AND removed_at IS NULL",
      [group.devices],
    );
    const missing = group.devices.find((id) => !known.some(({ device }) => device === id));
    if (missing !== undefined) throw new NotFoundError(`no device '${missing}'`);
    await tx.execute("DELETE FROM iot.fleet_members WHERE group_name = $1", [group.name]);
    await tx.execute(
      `INSERT INTO iot.fleet_members (group_name, device_id)
       SELECT $1, id FROM iot.devices WHERE device_code = ANY ($2) ORDER BY id`,
      [group.name, group.devices],
    );
  });
}

/** Forgets a group; its devices and their commands stay. @throws NotFoundError */
export async function removeFleetGroup(db: Queries, name: string): Promise<void> {
  const gone = await db.execute("DELETE FROM iot.fleet_groups WHERE name = $1", [name]);
  if (gone === 0) throw new NotFoundError(`no group '${name}'`);
}

async function requireGroup(tx: Queries, name: string): Promise<void> {
  const [group] = await tx.query("SELECT FROM iot.fleet_groups WHERE name = $1", [name]);
  if (!group) throw new NotFoundError(`no group '${name}'`);
}
