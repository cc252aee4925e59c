import { InvalidInputError } from "@sluice/shared-types";
import { int4Array } from "./binary-array.ts";
import type { Db, Transaction } from "./open-db.ts";
import { codeOf } from "./pg-errors.ts";

/** What a sensor's values are; fixed by its first value that is not null. */
export type ValueType = "number" | "text";

/** A registered field of a device. */
export interface RegisteredSensor {
  id: number;
  type: ValueType | null;
}

/** A registered device with the sensors that are known of it. */
export interface RegisteredDevice {
  id: number;
  sensors: Map<string, RegisteredSensor>;
  /** Until when its presence need not be written again, epoch ms. For the writer's use. */
  touchedUntilMs: number;
}

/** A device and the fields of it that a batch needs, each with the type of its first value. */
export interface WantedDevice {
  fields: Map<string, ValueType | null>;
  type?: string | undefined;
  name?: string | undefined;
  location?: string | undefined;
}

/** Ids of devices and sensors, in memory. */
export interface SensorRegistry {
  /** Device code to device. What is not in it is not registered, or not looked up yet. */
  readonly devices: ReadonlyMap<string, RegisteredDevice>;
  /**
   * Looks up what is wanted and registers what is missing, for all devices together; safe against other workers
   * doing the same. What could not be registered (switched off, or over budget) is still missing afterwards.
   */
  ensure(wanted: ReadonlyMap<string, WantedDevice>): Promise<void>;
  /** Forgets a device, or all of them: they are looked up again. */
  forget(device?: string): void;
}

/** Options of {@link createSensorRegistry}. */
export interface SensorRegistryOptions {
  /** Register unknown devices and fields on first sight. */
  autoRegister: boolean;
  /** Fields a device may bring along, unless its own row says otherwise. */
  sensorBudget: number;
}

/** Makes an empty registry over `db`. */
export function createSensorRegistry(db: Db, options: SensorRegistryOptions): SensorRegistry {
  const devices = new Map<string, RegisteredDevice>();
  return {
    devices,
    async ensure(wanted) {
      if (wanted.size === 0) return;
      const run = () => db.transaction((tx) => register(tx, wanted, options));
      const { rows, sensors } = await run().catch((error: unknown) => {
        // a device was deleted between two of the statements
        if (!(error instanceof InvalidInputError) || codeOf(error.cause) !== "23503") throw error;
        return run();
      });
      // Only now: ids of a transaction that was not committed belong to nobody.
      keep(devices, rows, sensors);
    },
    forget(device) {
      if (device === undefined) devices.clear();
      else devices.delete(device);
    },
  };
}

interface DeviceRow {
  id: number;
  code: string;
  budget: number;
}

async function register(
  tx: Transaction,
  wanted: ReadonlyMap<string, WantedDevice>,
  options: SensorRegistryOptions,
): Promise<{ rows: DeviceRow[]; sensors: Sensors }> {
  const codes = [...wanted.keys()].sort();
  if (options.autoRegister) await insertDevices(tx, codes, wanted);
  // From here on every worker that registers for one of these devices waits: budget and type are decided once.
  const rows = await tx.query<DeviceRow>(
    `SELECT id, device_code AS code, coalesce(sensor_budget, $2)::int AS budget
       FROM iot.devices WHERE device_code = ANY ($1) ORDER BY id FOR NO KEY UPDATE`,
    [codes, options.sensorBudget],
  );
  const before = await readSensors(tx, rows);
  const changed = await registerFields(tx, rows, before, wanted, options.autoRegister);
  return { rows, sensors: changed ? await readSensors(tx, rows) : before };
}

async function insertDevices(
  tx: Transaction,
  codes: readonly string[],
  wanted: ReadonlyMap<string, WantedDevice>,
): Promise<void> {
  const known = await tx.query<{ code: string }>(
    "SELECT device_code AS code FROM iot.devices WHERE device_code = ANY ($1)",
    [codes],
  );
  const found = new Set(known.map((row) => row.code));
  const missing = codes.filter((code) => !found.has(code));
  if (missing.length === 0) return;
  await tx.execute(
    `INSERT INTO iot.devices (device_code, device_type, name, location_description)
     SELECT c, coalesce(left(t, 50), 'esp32'), n, l FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS x(c, t, n, l)
     ON CONFLICT (device_code) DO NOTHING`,
    [
      missing,
      missing.map((code) => clean(wanted.get(code)?.type)),
      missing.map((code) => clean(wanted.get(code)?.name)),
      missing.map((code) => clean(wanted.get(code)?.location)),
    ],
  );
}

type Sensors = Map<number, Map<string, RegisteredSensor>>;

async function readSensors(tx: Transaction, rows: readonly DeviceRow[]): Promise<Sensors> {
  const sensors: Sensors = new Map(rows.map((row) => [row.id, new Map()]));
  const found = await tx.query<{ device_id: number; code: string; id: number; type: ValueType | null }>(
    `SELECT device_id, sensor_code AS code, id, value_type AS type FROM iot.sensors WHERE device_id = ANY ($1::int[])`,
    [int4Array(rows.map((row) => row.id))],
  );
  for (const { device_id, code, id, type } of found) sensors.get(device_id)?.set(code, { id, type });
  return sensors;
}

/** Adds missing fields and settles types; true where it changed something. */
async function registerFields(
  tx: Transaction,
  rows: readonly DeviceRow[],
  sensors: Sensors,
  wanted: ReadonlyMap<string, WantedDevice>,
  autoRegister: boolean,
): Promise<boolean> {
  const added: { device: number; code: string; type: ValueType | null }[] = [];
  const settled: { id: number; type: ValueType }[] = [];
  for (const { id: device, code: deviceCode, budget } of rows) {
    const known = sensors.get(device);
    let room = budget - (known?.size ?? 0);
    for (const [code, type] of wanted.get(deviceCode)?.fields ?? []) {
      const sensor = known?.get(code);
      if (sensor) {
        if (sensor.type === null && type !== null) settled.push({ id: sensor.id, type });
      } else if (autoRegister && room-- > 0) added.push({ device, code, type });
    }
  }
  if (added.length > 0) {
    await tx.execute(
      `INSERT INTO iot.sensors (device_id, sensor_code, value_type)
       SELECT * FROM unnest($1::int[], $2::text[], $3::text[]) ON CONFLICT (device_id, sensor_code) DO NOTHING`,
      [int4Array(added.map((a) => a.device)), added.map((a) => a.code), added.map((a) => a.type)],
    );
  }
  if (settled.length > 0) {
    await tx.execute(
      `UPDATE iot.sensors s SET value_type = n.t FROM unnest($1::int[], $2::text[]) AS n(i, t)
        WHERE s.id = n.i AND s.value_type IS NULL`,
      [int4Array(settled.map((s) => s.id)), settled.map((s) => s.type)],
    );
  }
  return added.length > 0 || settled.length > 0;
}

/** Existing entries are filled in, not replaced: batches under way hold on to them. */
function keep(devices: Map<string, RegisteredDevice>, rows: readonly DeviceRow[], sensors: Sensors): void {
  for (const { id, code } of rows) {
    const fresh = sensors.get(id) ?? new Map<string, RegisteredSensor>();
    const device = devices.get(code);
    if (device && device.id === id) device.sensors = fresh;
    else devices.set(code, { id, sensors: fresh, touchedUntilMs: 0 });
  }
}

const clean = (text: string | undefined) => text?.replaceAll("\u0000", "").toWellFormed() ?? null;
