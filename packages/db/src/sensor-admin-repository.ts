import { NotFoundError } from "@sluice/shared-types";
import { writeAudit } from "./audit-repository.ts";
import type { Db } from "./open-db.ts";
import { RegistryConflictError } from "./registry-repository.ts";
import type { Actor } from "./user-repository.ts";

/** A sensor that is known before its device sends anything. */
export interface NewSensor {
  device: string;
  field: string;
  valueType: "number" | "text";
  unit?: string | undefined;
}

/** Adds a sensor. @throws NotFoundError where there is no such device; RegistryConflictError where the field is there */
export async function createSensor(
  db: Db,
  { device, field, valueType, unit }: NewSensor,
  actor: Actor,
): Promise<{ id: number } & NewSensor> {
  return db.transaction(async (tx) => {
    const [known] = await tx.query<{ id: number }>(
      "SELECT id FROM iot.devices WHERE device_code = $1 AND removed_at IS NULL",
      [device],
    );
    if (!known) throw new NotFoundError(`no device '${device}'`);
    const [made] = await tx.query<{ id: number }>(
      `INSERT INTO iot.sensors (device_id, sensor_code, value_type, unit) VALUES ($1, $2, $3, $4)
       ON CONFLICT (device_id, sensor_code) DO NOTHING RETURNING id`,
      [known.id, field, valueType, unit ?? null],
    );
    if (!made) throw new RegistryConflictError(`device '${device}' has a field '${field}' already`);
    const entityId = String(made.id);
    await writeAudit(tx, { event: "sensor.created", entityType: "sensor", entityId, ...actor });
    return { id: made.id, device, field, valueType, unit };
  });
}

/** Forgets a sensor that has no readings. @throws NotFoundError; RegistryConflictError where it has some */
export async function removeSensor(db: Db, id: number, actor: Actor): Promise<void> {
  await db.transaction(async (tx) => {
    const [found] = await tx.query<{ used: boolean }>(
      `SELECT EXISTS (SELECT FROM public.measurement WHERE sensor_id = s.id)
           OR EXISTS (SELECT FROM public.measurement_text WHERE sensor_id = s.id) AS used
         FROM iot.sensors s WHERE s.id = $1 FOR UPDATE`,
      [id],
    );
    if (!found) throw new NotFoundError(`no sensor ${id}`);
    if (found.used)
      throw new RegistryConflictError(`sensor ${id} has readings: delete those first, or set it inactive`);
    await tx.execute("DELETE FROM iot.sensors WHERE id = $1", [id]);
    await writeAudit(tx, { event: "sensor.removed", entityType: "sensor", entityId: String(id), ...actor });
  });
}

/** Forgets a kind of sensors. @throws NotFoundError; RegistryConflictError where a sensor is of it */
export async function removeSensorType(db: Db, name: string, actor: Actor): Promise<void> {
  await db.transaction(async (tx) => {
    const [type] = await tx.query<{ id: number; used: boolean }>(
      `SELECT t.id, EXISTS (SELECT FROM iot.sensors WHERE sensor_type_id = t.id) AS used
         FROM iot.sensor_types t WHERE t.name = $1 FOR UPDATE`,
      [name],
    );
    if (!type) throw new NotFoundError(`no sensor type '${name}'`);
    if (type.used) throw new RegistryConflictError(`sensors are of the type '${name}'`);
    await tx.execute("DELETE FROM iot.sensor_types WHERE id = $1", [type.id]);
    await writeAudit(tx, {
      event: "sensor_type.removed",
      entityType: "sensor_type",
      entityId: name,
      ...actor,
    });
  });
}
