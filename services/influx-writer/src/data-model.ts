import { type FieldValue, fieldNameOf, type Point } from "@sluice/influx";
import type { Telemetry, TimedSample, Value } from "@sluice/shared-types";

/** What the registry says of a device; a message's own tags win over it. */
export interface DeviceTags {
  device_name?: string;
  device_type: string;
  location?: string;
}

/** Document A's measurement, and the message type of its topics and routes. */
const SENSOR_READING = "sensor_reading";

/**
 * The points of a message, none for samples that hold nothing but nulls, which InfluxDB cannot store.
 * - Document B: measurement = message type (`status` for status messages, `command_result` for results); tags
 *   device_id, device_name, device_type, location, topic and the message's own; fields as sent, and the field that
 *   equals the measurement also as `value`.
 * - Document A, for hydroponics besides: `sensor_reading` with tags sensor_id and source, booleans as 0 and 1.
 */
export function toPoints(message: Telemetry, registry: DeviceTags): Point[] {
  const points: Point[] = [];
  const tags = tagsOf(message, registry);
  const hydroponics = isHydroponics(message, tags.device_type);
  for (const sample of message.samples) {
    if (!hydroponics || message.type !== SENSOR_READING) {
      const fields = fieldsOf(message, sample);
      pushPoint(points, measurementOf(message), separate(tags, fields), fields, sample.timeUs);
    }
    if (hydroponics) {
      const sensorTags = { sensor_id: message.device, source: "http_api" };
      pushPoint(points, SENSOR_READING, sensorTags, sensorFields(sample), sample.timeUs);
    }
  }
  return points;
}

/**
 * The one rule for document A's model: telemetry that came by its topics or `POST /api/data` (type
 * `sensor_reading`, or a topic under `hydroponics/`), or from a device whose type is `hydroponics`.
 */
function isHydroponics(message: Telemetry, deviceType: string | undefined): boolean {
  if (message.kind !== "telemetry") return false;
  return (
    message.type === SENSOR_READING ||
    message.topic?.startsWith("hydroponics/") === true ||
    deviceType?.toLowerCase() === "hydroponics"
  );
}

function measurementOf(message: Telemetry): string {
  if (message.kind === "status") return "status";
  return message.kind === "result" ? "command_result" : message.type;
}

function tagsOf(message: Telemetry, registry: DeviceTags): Record<string, string> {
  const tags: Record<string, string> = { ...registry, ...message.tags, device_id: message.device };
  if (message.topic !== undefined) tags.topic = message.topic;
  if (message.kind === "result") tags.command = message.type;
  return tags;
}

function fieldsOf(message: Telemetry, sample: TimedSample): Record<string, FieldValue> {
  const fields: Record<string, FieldValue> = {};
  for (const { field, sentAs, value } of sample.readings) {
    if (value === null) continue;
    fields[fieldNameOf(sentAs ?? field)] = value;
  }
  if (message.kind === "status") addStatus(fields, message.type);
  else if (message.kind === "telemetry" && !Object.hasOwn(fields, "value")) {
    const own = Object.hasOwn(fields, message.type) ? fields[message.type] : undefined;
    if (own !== undefined) fields.value = own;
  }
  return fields;
}

/** Every status point can be read as text from `status` and from `value`, whatever the message carried. */
function addStatus(fields: Record<string, FieldValue>, type: string): void {
  fields.status = String(fields.status ?? type);
  fields.value = String(fields.value ?? fields.status);
}

/** A column is a tag or a field, not both (InfluxDB 3 refuses it): a message's tag named like a field gives way. */
function separate(tags: Record<string, string>, fields: Record<string, FieldValue>): Record<string, string> {
  let separated = tags;
  for (const key in fields) {
    const tag = Object.hasOwn(tags, key) ? tags[key] : undefined;
    if (tag === undefined) continue;
    if (separated === tags) separated = { ...tags };
    delete separated[key];
    separated[`meta_${key}`] = tag;
  }
  return separated;
}

function sensorFields(sample: TimedSample): Record<string, FieldValue> {
  const fields: Record<string, FieldValue> = {};
  for (const { field, value } of sample.readings) {
    const kept = sensorValue(value);
    if (kept !== null) fields[field] = kept;
  }
  return fields;
}

const sensorValue = (value: Value): FieldValue | null =>
  typeof value === "boolean" ? (value ? 1 : 0) : value;

function pushPoint(
  points: Point[],
  measurement: string,
  tags: Record<string, string>,
  fields: Record<string, FieldValue>,
  timeUs: number,
): void {
  for (const _ in fields) {
    points.push({ measurement, tags, fields, timeUs });
    return;
  }
}
