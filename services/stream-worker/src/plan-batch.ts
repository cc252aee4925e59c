import { appendRow, CLOCKS, createRows, type SensorRegistry, type WantedDevice } from "@sluice/db";
import type { Reading, Telemetry, TimedSample } from "@sluice/shared-types";
import type { BatchMessage, MessagePart, Plan, Refusal } from "./batch.ts";
import { toNumber, typeOfValue } from "./coerce.ts";

const REFUSED_FOR_MS = 30_000;
const REFUSED_FIELDS = 1000;
const READINGS_PER_MESSAGE = 8;

/** Turns decoded messages into rows, registering devices and fields seen for the first time. */
export interface Planner {
  /** The plan of `messages`; messages whose index is in `skip` bring nothing. */
  plan(messages: readonly BatchMessage[], skip?: ReadonlyMap<number, Refusal>): Promise<Plan>;
}

/** Makes a planner over `registry`. `autoRegister` only words the refusals. */
export function createPlanner(registry: SensorRegistry, autoRegister: boolean): Planner {
  const refused = createRefusedFields();
  return {
    async plan(messages, skip) {
      const wanted = new Map<string, WantedDevice>();
      const first = build({ registry, autoRegister, refused, wanted, messages, skip });
      if (wanted.size === 0) return first;
      await registry.ensure(wanted);
      for (const [device, { fields }] of wanted) {
        for (const field of fields.keys()) {
          if (!registry.devices.get(device)?.sensors.has(field)) refused.add(device, field);
        }
      }
      return build({ registry, autoRegister, refused, wanted: undefined, messages, skip });
    },
  };
}

interface Build {
  registry: SensorRegistry;
  autoRegister: boolean;
  refused: RefusedFields;
  /** Collects what is not registered yet; undefined in the second pass, when that is final. */
  wanted: Map<string, WantedDevice> | undefined;
  messages: readonly BatchMessage[];
  skip: ReadonlyMap<number, Refusal> | undefined;
}

function build(b: Build): Plan {
  const plan: Plan = {
    rows: createRows(b.messages.length * READINGS_PER_MESSAGE),
    texts: [],
    corrections: [],
    parts: [],
  };
  for (let i = 0; i < b.messages.length; i++) {
    const { telemetry, refusals, id } = b.messages[i] as BatchMessage;
    const skipped = b.skip?.get(i);
    const part: MessagePart = {
      device: telemetry && b.registry.devices.get(telemetry.device),
      rowFrom: plan.rows.length,
      rowTo: 0,
      textFrom: plan.texts.length,
      textTo: 0,
      refusals: skipped ? [...refusals, skipped] : refusals.slice(),
    };
    plan.parts.push(part);
    if (telemetry && !skipped) {
      for (const sample of telemetry.samples) addSample(b, plan, part, i, id, telemetry, sample);
    }
    part.rowTo = plan.rows.length;
    part.textTo = plan.texts.length;
  }
  return plan;
}

function addSample(
  b: Build,
  plan: Plan,
  part: MessagePart,
  message: number,
  messageId: string,
  telemetry: Telemetry,
  { timeUs, clock: clockName, readings }: TimedSample,
): void {
  const clock = CLOCKS.indexOf(clockName);
  for (const { field, value } of readings) {
    const sensor = part.device?.sensors.get(field);
    if (!sensor || (sensor.type === null && value !== null)) {
      if (!want(b, telemetry, field, value)) refuseField(part, b, field);
      continue;
    }
    const isText = sensor.type === "text" && value !== null;
    const number = isText ? Number.NaN : toNumber(value);
    if (number === undefined) {
      refuse(part, "type_conflict", `'${field}' is a number sensor and this is a string`);
    } else if (telemetry.correction) {
      const { receivedUs } = telemetry;
      const text = isText ? String(value) : undefined;
      plan.corrections.push({
        sensorId: sensor.id,
        timeUs,
        value: number,
        text,
        clock,
        receivedUs,
        messageId,
        message,
      });
    } else if (isText) {
      plan.texts.push({ sensorId: sensor.id, timeUs, text: String(value), clock, message });
    } else appendRow(plan.rows, sensor.id, timeUs, number, clock, message);
  }
}

/** Notes a field to be looked up; false where that is settled already, against it. */
function want(b: Build, telemetry: Telemetry, field: string, value: Reading["value"]): boolean {
  if (!b.wanted || !field.isWellFormed() || b.refused.has(telemetry.device, field)) return false;
  let device = b.wanted.get(telemetry.device);
  if (!device) {
    const { device_type, device_name, location } = telemetry.tags ?? {};
    device = { fields: new Map(), type: device_type, name: device_name, location };
    b.wanted.set(telemetry.device, device);
  }
  if ((device.fields.get(field) ?? null) === null) device.fields.set(field, typeOfValue(value));
  return true;
}

function refuseField(part: MessagePart, b: Build, field: string): void {
  if (!field.isWellFormed()) refuse(part, "bad_field_name", "a field name holds half a surrogate pair");
  else if (!part.device && !b.autoRegister) refuse(part, "unknown_device", "the device is not registered");
  else if (!b.autoRegister) refuse(part, "unknown_sensor", `'${field}' is not registered`);
  else refuse(part, "sensor_budget", `'${field}' is beyond the number of fields the device may have`);
}

/** One refusal per reason, naming the first field. */
function refuse(part: MessagePart, reason: Refusal["reason"], detail: string): void {
  if (!part.refusals.some((refusal) => refusal.reason === reason)) part.refusals.push({ reason, detail });
}

interface RefusedFields {
  has(device: string, field: string): boolean;
  add(device: string, field: string): void;
}

/** Remembers for a while what could not be registered, so that a device over budget does not cost a query a batch. */
function createRefusedFields(): RefusedFields {
  const devices = new Map<string, { untilMs: number; fields: Set<string> }>();
  return {
    has(device, field) {
      const entry = devices.get(device);
      if (!entry?.fields.has(field)) return false;
      if (entry.untilMs > Date.now()) return true;
      devices.delete(device);
      return false;
    },
    add(device, field) {
      let entry = devices.get(device);
      if (!entry || entry.untilMs <= Date.now()) {
        entry = { untilMs: Date.now() + REFUSED_FOR_MS, fields: new Set() };
        devices.set(device, entry);
      }
      if (entry.fields.size < REFUSED_FIELDS) entry.fields.add(field);
    },
  };
}
