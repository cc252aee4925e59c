import { NotFoundError } from "@sluice/shared-types";
import { writeAudit } from "./audit-repository.ts";
import type { Db, Queries } from "./open-db.ts";
import type { Actor } from "./user-repository.ts";

/** One calibration of a sensor. */
export interface Calibration {
  id: number;
  at: Date;
  nextDue: Date | null;
  performedBy: number | null;
  referenceValues: unknown;
  offsetBefore: number | null;
  offsetAfter: number | null;
  notes: string | null;
}

/** What was found when a sensor was calibrated. */
export interface NewCalibration {
  /** Added to every reading from now on, when it is read; what is stored stays. */
  offset: number;
  nextDue?: Date | undefined;
  referenceValues?: object | undefined;
  notes?: string | undefined;
}

/** Calibrations of a sensor, the newest first. */
export function listCalibrations(db: Queries, sensor: number, limit: number): Promise<Calibration[]> {
  return db.query<Calibration>(
    `SELECT id, calibration_date AS at, next_due_date AS "nextDue", performed_by AS "performedBy",
            reference_values AS "referenceValues", pre_calibration_offset::float8 AS "offsetBefore",
            post_calibration_offset::float8 AS "offsetAfter", notes
       FROM iot.calibrations WHERE sensor_id = $1 ORDER BY calibration_date DESC, id DESC LIMIT $2`,
    [sensor, limit],
  );
}

/** Notes a calibration and applies its offset, in one step. @throws NotFoundError */
export async function calibrateSensor(
  db: Db,
  sensor: number,
  { offset, nextDue, referenceValues, notes }: NewCalibration,
  actor: Actor,
): Promise<Calibration> {
  return db.transaction(async (tx) => {
    const [before] = await tx.query<{ offset: number; days: number | null }>(
      `SELECT s.calibration_offset AS offset, t.calibration_interval_days AS days
         FROM iot.sensors s LEFT JOIN iot.sensor_types t ON t.id = s.sensor_type_id WHERE s.id = $1 FOR UPDATE OF s`,
      [sensor],
    );
    if (!before) throw new NotFoundError(`no sensor ${sensor}`);
    const due = nextDue ?? (before.days === null ? null : new Date(Date.now() + before.days * 86_400_000));
    await tx.execute(
      `INSERT INTO iot.calibrations (sensor_id, next_due_date, performed_by, reference_values,
                                     pre_calibration_offset, post_calibration_offset, notes)
       VALUES ($1, $2, (SELECT id FROM core.users WHERE id = $3), $4, $5, $6, $7)`,
      [
        sensor,
        due,
        actor.userId ?? null,
        referenceValues === undefined ? null : JSON.stringify(referenceValues),
        before.offset,
        offset,
        notes ?? null,
      ],
    );
    await tx.execute(
      `UPDATE iot.sensors SET calibration_offset = $2, last_calibration_date = current_date, next_calibration_date = $3
        WHERE id = $1`,
      [sensor, offset, due],
    );
    const data = { ...actor.data, before: before.offset, after: offset };
    const entityId = String(sensor);
    await writeAudit(tx, { event: "sensor.calibrated", entityType: "sensor", entityId, ...actor, data });
    const [made] = await listCalibrations(tx, sensor, 1);
    if (!made) throw new Error(`the calibration of sensor ${sensor} is not there`);
    return made;
  });
}

/** Sensors whose calibration is due within `days`, the most overdue first. */
export function listDueCalibrations(
  db: Queries,
  days: number,
  limit: number,
): Promise<{ sensorId: number; device: string; field: string; type: string | null; due: Date }[]> {
  return db.query(
    `SELECT s.id AS "sensorId", d.device_code AS device, s.sensor_code AS field, t.name AS type,
            s.next_calibration_date::timestamptz AS due
       FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id LEFT JOIN iot.sensor_types t ON t.id = s.sensor_type_id
      WHERE s.next_calibration_date <= current_date + $1::int ORDER BY s.next_calibration_date, s.id LIMIT $2`,
    [days, limit],
  );
}
