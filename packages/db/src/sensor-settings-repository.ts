import { NotFoundError } from "@sluice/shared-types";
import { writeAudit } from "./audit-repository.ts";
import type { Db, Queries } from "./open-db.ts";
import { applyChange } from "./registry-change.ts";
import type { Actor } from "./user-repository.ts";

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
