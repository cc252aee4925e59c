import type { QualityLimits, SensorCondition } from "@sluice/analytics";
import {
  type AlertRule,
  createSensorRegistry,
  type Db,
  findRuleEdition,
  findWatchedDevices,
  listAlertRules,
  listQualityThresholds,
  type QualityThreshold,
  type WantedDevice,
  type WatchedDevice,
  type WatchedSensor,
} from "@sluice/db";
import type { Telemetry } from "@sluice/shared-types";

/** A rule that readings decide. */
export type ReadingRule = AlertRule & { condition: SensorCondition };

/** What is looked at in a sensor's readings. */
export interface Watch {
  sensor: WatchedSensor;
  rules: readonly ReadingRule[];
  /** null: its readings are never doubted. */
  limits: QualityLimits | null;
}

/** A device and what is watched of it; the others of its fields are null. */
export interface KnownDevice {
  id: number;
  code: string;
  fields: ReadonlyMap<string, Watch | null>;
}

/** What there is to be watched. A change of a rule or limit is seen at once, one of a sensor after seconds. */
export interface RuleBook {
  /** The devices of `messages` by code. Devices and fields seen for the first time are registered, as stream-worker does. */
  open(messages: readonly Telemetry[]): Promise<ReadonlyMap<string, KnownDevice>>;
}

/** Sensors and devices are read again after this; rules and limits whenever they have changed. */
const FRESH_MS = 3_000;

/** Options of {@link createRuleBook}. */
export interface RuleBookOptions {
  autoRegister: boolean;
  sensorBudget: number;
}

/** Makes a rule book over `db`. */
export function createRuleBook(db: Db, options: RuleBookOptions): RuleBook {
  const registry = createSensorRegistry(db, options);
  let pages = { rules: [] as ReadingRule[], thresholds: new Map<string, QualityThreshold>() };
  const devices = new Map<string, KnownDevice>();
  /** Fields that could not be registered. */
  const refused = new Set<string>();
  let readMs = Number.NEGATIVE_INFINITY;
  let edition = "";

  async function load(codes: readonly string[]): Promise<void> {
    for (const device of await findWatchedDevices(db, codes))
      devices.set(device.code, toKnown(device, pages));
  }

  return {
    async open(messages) {
      const nowMs = performance.now();
      const newest = await findRuleEdition(db);
      if (newest !== edition || nowMs - readMs > FRESH_MS) {
        const [rules, thresholds] = [await listAlertRules(db), await listQualityThresholds(db)];
        pages = { rules: rules.filter(isReadingRule), thresholds: byType(thresholds) };
        devices.clear();
        refused.clear();
        readMs = nowMs;
        edition = newest;
      }
      const codes = new Set(messages.map(({ device }) => device));
      await load([...codes].filter((code) => !devices.has(code)));
      const wanted = findMissing(messages, devices, refused);
      if (wanted.size > 0) {
        await registry.ensure(wanted);
        await load([...wanted.keys()]);
        for (const [code, { fields }] of wanted) {
          for (const field of fields.keys())
            if (!devices.get(code)?.fields.has(field)) refused.add(`${code} ${field}`);
        }
      }
      return devices;
    },
  };
}

const isReadingRule = (rule: AlertRule): rule is ReadingRule =>
  rule.active && rule.condition !== "device_offline";

const byType = (thresholds: readonly QualityThreshold[]) =>
  new Map(thresholds.map((threshold) => [threshold.sensorType, threshold]));

function findMissing(
  messages: readonly Telemetry[],
  devices: ReadonlyMap<string, KnownDevice>,
  refused: ReadonlySet<string>,
): Map<string, WantedDevice> {
  const missing = new Map<string, WantedDevice>();
  for (const { device, samples, tags } of messages) {
    for (const { readings } of samples) {
      for (const { field, value } of readings) {
        if (typeof value !== "number" && typeof value !== "boolean") continue;
        if (devices.get(device)?.fields.has(field) || refused.has(`${device} ${field}`)) continue;
        const wanted = missing.get(device) ?? {
          fields: new Map(),
          type: tags?.device_type,
          name: tags?.device_name,
          location: tags?.location,
        };
        wanted.fields.set(field, "number");
        missing.set(device, wanted);
      }
    }
  }
  return missing;
}

function toKnown(
  device: WatchedDevice,
  { rules, thresholds }: { rules: readonly ReadingRule[]; thresholds: ReadonlyMap<string, QualityThreshold> },
): KnownDevice {
  const ofDevice = rules.filter(({ facilityId, deviceId }) =>
    deviceId === null ? facilityId === device.facilityId : deviceId === device.id,
  );
  const fields = new Map<string, Watch | null>();
  for (const sensor of device.sensors) {
    const ofSensor = ofDevice.filter(
      ({ sensorType }) => sensorType === sensor.code || sensorType === sensor.type,
    );
    const limits = limitsOf(sensor, thresholds);
    const watched = sensor.valueType !== "text" && (ofSensor.length > 0 || limits !== null);
    fields.set(sensor.code, watched ? { sensor, rules: ofSensor, limits } : null);
  }
  return { id: device.id, code: device.code, fields };
}

const GAP_INTERVALS = 5;

/** Limits of a sensor: its own name's before its type's before everybody's, no wider than what its type is expected to be in. */
function limitsOf(
  sensor: WatchedSensor,
  thresholds: ReadonlyMap<string, QualityThreshold>,
): QualityLimits | null {
  const own = thresholds.get(sensor.code) ?? thresholds.get(sensor.type ?? "") ?? thresholds.get("*");
  const gapSeconds =
    own?.gapSeconds ?? (sensor.sampleInterval === null ? null : sensor.sampleInterval * GAP_INTERVALS);
  const limits: QualityLimits = {
    min: tightest(Math.max, own?.min, sensor.expectedMin),
    max: tightest(Math.min, own?.max, sensor.expectedMax),
    spike: own?.spike ?? null,
    ratePerMinute: own?.ratePerMinute ?? null,
    flatCount: own?.flatCount ?? null,
    flatUs: (own?.flatMinutes ?? 0) * 60e6,
    gapUs: gapSeconds === null ? null : gapSeconds * 1e6,
  };
  const { flatUs: _, ...looks } = limits;
  return Object.values(looks).every((one) => one === null) ? null : limits;
}

function tightest(
  pick: (a: number, b: number) => number,
  a: number | null | undefined,
  b: number | null,
): number | null {
  if (a === null || a === undefined) return b;
  return b === null ? a : pick(a, b);
}
