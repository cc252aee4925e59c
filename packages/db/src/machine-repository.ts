import { NotFoundError } from "@sluice/shared-types";
import type { Queries } from "./open-db.ts";

/** What a variable of a machine is for. */
export type MachineRole = "alarms" | "operation" | "emergency" | "stop" | "program" | "motor" | "sensor";

/** A variable named for a role: by name, or by its id in the source database. */
export interface NamedVariable {
  readonly role: MachineRole;
  readonly variable: string;
  /** Of a motor its nominal kW, of a sensor what its values are multiplied by. */
  readonly factor: number;
}

/** A machine whose log is aggregated. */
export interface Machine {
  readonly machineId: string;
  readonly name: string | null;
  /** The device whose telemetry is its log; null where that is in the source database. */
  readonly deviceId: number | null;
  readonly device: string | null;
  /** Its variables in the source database; null for all that there are. */
  readonly sourceVariables: number[] | null;
  /** Roles that go to others than the usual variables. */
  readonly named: readonly NamedVariable[];
}

/** Every machine, by id. */
export function listMachines(db: Queries): Promise<Machine[]> {
  return db.query<Machine>(
    `SELECT m.machine_id AS "machineId", m.name, m.device_id AS "deviceId", d.device_code AS device,
            m.source_variables AS "sourceVariables",
            coalesce((SELECT jsonb_agg(jsonb_build_object('role', role, 'variable', variable, 'factor', factor)
                                       ORDER BY role, variable)
                        FROM iot.machine_variables v WHERE v.machine_id = m.machine_id), '[]') AS named
       FROM iot.machines m LEFT JOIN iot.devices d ON d.id = m.device_id
      ORDER BY m.machine_id`,
  );
}

/** Type of devices that are machines by themselves. */
const MACHINE_TYPE = "machining_center";

/**
 * Makes a machine of every device that is one by its type, under the device's id with hyphens; one that is there already
 * is fed by that device from now on only if nothing else feeds it: `sourceless` says that there is no source database.
 */
export async function adoptMachines(db: Queries, sourceless: boolean): Promise<void> {
  await db.execute(
    `INSERT INTO iot.machines AS m (machine_id, name, device_id)
     SELECT DISTINCT ON (1) left(lower(regexp_replace(d.device_code, '[^A-Za-z0-9]+', '-', 'g')), 50), d.name, d.id
       FROM iot.devices d
      WHERE d.device_type = $1 AND d.removed_at IS NULL
        AND NOT EXISTS (SELECT FROM iot.machines o WHERE o.device_id = d.id)
      ORDER BY 1, d.id
     ON CONFLICT (machine_id) DO UPDATE SET device_id = excluded.device_id WHERE m.device_id IS NULL AND $2`,
    [MACHINE_TYPE, sourceless],
  );
}

/** A machine as it is to be; what is left out stays, or is null at first. */
export interface MachineChange {
  readonly machineId: string;
  readonly name?: string;
  /** Device that feeds it; null for the source database. */
  readonly device?: string | null;
  readonly sourceVariables?: readonly number[] | null;
}

/** Makes a machine or changes it. @throws NotFoundError where there is no such device */
export async function putMachine(db: Queries, change: MachineChange): Promise<void> {
  const { machineId, name = null, device, sourceVariables } = change;
  let deviceId: number | null = null;
  if (typeof device === "string") {
    const [row] = await db.query<{ id: number }>(
      "SELECT id FROM iot.devices WHERE device_code = $1 AND removed_at IS NULL",
      [device],
    );
    if (!row) throw new NotFoundError(`there is no device '${device}'`);
    deviceId = row.id;
  }
  await db.execute(
    `INSERT INTO iot.machines AS m (machine_id, name, device_id, source_variables) VALUES ($1, $2, $3, $4)
     ON CONFLICT (machine_id) DO UPDATE SET name = coalesce(excluded.name, m.name),
       device_id = CASE WHEN $5 THEN excluded.device_id ELSE m.device_id END,
       source_variables = CASE WHEN $6 THEN excluded.source_variables ELSE m.source_variables END`,
    [machineId, name, deviceId, sourceVariables ?? null, device !== undefined, sourceVariables !== undefined],
  );
}

/** Gives a role of a machine to these variables alone; with none, to the usual ones again. */
export async function putMachineRole(
  db: Queries,
  machineId: string,
  role: MachineRole,
  variables: readonly { variable: string; factor: number }[],
): Promise<void> {
  await db.execute(
    `WITH gone AS (DELETE FROM iot.machine_variables
                    WHERE machine_id = $1 AND role = $2 AND variable <> ALL ($3::text[]))
     INSERT INTO iot.machine_variables (machine_id, role, variable, factor)
     SELECT $1, $2, v, f FROM unnest($3::text[], $4::float8[]) AS n (v, f)
     ON CONFLICT (machine_id, role, variable) DO UPDATE SET factor = excluded.factor`,
    [machineId, role, variables.map(({ variable }) => variable), variables.map(({ factor }) => factor)],
  );
}
