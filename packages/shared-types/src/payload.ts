import { InvalidInputError, type Reason } from "./errors.ts";

/** A value a device may send. null means the sensor gave none (status `error`). */
export type Value = number | boolean | string | null;

/** One field of one sample. */
export interface Reading {
  /** Sensor code: the field's name; nested names joined with `.`; `value` is named after the message type. */
  field: string;
  value: Value;
  /** The field's own name where `field` was taken from the message type. */
  sentAs?: "value";
}

/** What a device claims about when a sample was taken. */
export interface TimeClaim {
  /** As sent in `ts`, `timestamp` or `time`. */
  time?: unknown;
  /** Milliseconds before the message was sent, for devices without a clock. */
  ageMs?: number;
}

/** One sample: readings taken at one instant. */
export interface Sample extends TimeClaim {
  readings: Reading[];
}

/** A payload in every variant, in one shape. */
export interface Payload {
  samples: Sample[];
  /** Samples of an array that had to be refused, by index; their good neighbours are in `samples`. */
  refused: { index: number; code: Reason; message: string }[];
  /** Original index of each of `samples`; equal to its position where nothing was refused. */
  indexes: number[];
  /** From `metadata`, `device_name`, `device_type`, `location`. */
  tags: Record<string, string>;
  boot?: string;
  seq?: number;
  /** From `device_id` or `sensor_id`. */
  device?: string;
  /** From `type`, where it is a plain name. */
  type?: string;
  apiKey?: string;
}

/** Bounds on one payload. Beyond them the message is refused, not cut. */
export const PAYLOAD_LIMITS = {
  fields: 256,
  samples: 1000,
  depth: 8,
  name: 128,
  text: 4096,
  tags: 16,
} as const;

const META = new Set([
  "api_key",
  "device_id",
  "sensor_id",
  "device_type",
  "device_name",
  "location",
  "ts",
  "timestamp",
  "time",
  "age_ms",
  "boot",
  "boot_id",
  "seq",
]);
const UNSAFE = new Set(["__proto__", "constructor", "prototype"]);
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused here
const CONTROL = /[\u0000-\u001f\u007f]/;
const NOT_FINITE = /^\s*[+-]?(nan|inf|infinity)\s*$/i;

type Json = Record<string, unknown>;
const isObject = (x: unknown): x is Json => typeof x === "object" && x !== null && !Array.isArray(x);

/**
 * Reads a parsed JSON payload of any variant: flat, `{data, metadata}`, `{measurements, status}`, nested,
 * nulls, or an array of samples (also under `data` or `samples`) with their own times.
 * `type` is the message type; a field called `value` gets its name.
 * @throws InvalidInputError when nothing of it can be stored
 */
export function parsePayload(json: unknown, type: string): Payload {
  const payload: Payload = { samples: [], refused: [], indexes: [], tags: {} };
  if (Array.isArray(json)) {
    parseSamples(json, {}, type, payload);
  } else if (isObject(json)) {
    readHeader(json, payload);
    const list = Array.isArray(json.samples)
      ? json.samples
      : Array.isArray(json.data)
        ? json.data
        : undefined;
    if (list) parseSamples(list, json, type, payload);
    else {
      payload.samples.push(parseSample(json, {}, type));
      payload.indexes.push(0);
    }
  } else {
    throw new InvalidInputError("not_object", "payload is neither a JSON object nor an array of samples");
  }
  return payload;
}

function parseSamples(list: unknown[], parent: Json, type: string, payload: Payload): void {
  if (list.length > PAYLOAD_LIMITS.samples) {
    throw new InvalidInputError(
      "too_many_samples",
      `more than ${PAYLOAD_LIMITS.samples} samples in one message`,
    );
  }
  if (list.length === 0) throw new InvalidInputError("no_readings", "the array holds no sample");
  for (const [index, item] of list.entries()) {
    try {
      if (!isObject(item)) throw new InvalidInputError("not_object", "a sample is a JSON object");
      payload.samples.push(parseSample(item, parent, type));
      payload.indexes.push(index);
    } catch (error) {
      if (!(error instanceof InvalidInputError)) throw error;
      payload.refused.push({ index, code: error.code, message: error.message });
    }
  }
  const first = payload.refused[0];
  if (payload.samples.length === 0 && first) throw new InvalidInputError(first.code, first.message);
}

function readHeader(json: Json, payload: Payload): void {
  const device = json.device_id ?? json.sensor_id;
  if (typeof device === "string" || typeof device === "number") payload.device = String(device);
  if (typeof json.api_key === "string") payload.apiKey = json.api_key;
  const boot = json.boot ?? json.boot_id;
  if (typeof boot === "string" || typeof boot === "number") payload.boot = String(boot).slice(0, 64);
  if (json.seq !== undefined && json.seq !== null) {
    if (!Number.isSafeInteger(json.seq) || (json.seq as number) < 0) {
      throw new InvalidInputError("bad_sequence", "seq is a whole number from 0 to 2^53-1");
    }
    payload.seq = json.seq as number;
  }
  if (typeof json.type === "string" && isObject(json.data)) payload.type = json.type;
  for (const key of ["device_name", "device_type", "location"]) addTag(payload.tags, key, json[key]);
  if (isObject(json.metadata)) {
    for (const [key, value] of Object.entries(json.metadata)) addTag(payload.tags, key, value);
  }
}

function addTag(tags: Record<string, string>, key: string, value: unknown): void {
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") return;
  if (UNSAFE.has(key) || key === "" || key.length > PAYLOAD_LIMITS.name || CONTROL.test(key)) return;
  if (Object.keys(tags).length >= PAYLOAD_LIMITS.tags) return;
  tags[key] = String(value).slice(0, 256);
}

function parseSample(json: Json, parent: Json, type: string): Sample {
  const readings: Reading[] = [];
  let wrapped = false;
  if (isObject(json.data)) {
    collect(json.data, "", 1, type, readings, false);
    wrapped = true;
  }
  if (isObject(json.measurements)) {
    collect(json.measurements, "", 1, type, readings, false);
    if (isObject(json.status)) collect(json.status, "status.", 1, type, readings, false);
    wrapped = true;
  }
  if (!wrapped) collect(json, "", 0, type, readings, true);
  if (readings.length === 0) throw new InvalidInputError("no_readings", "payload holds no reading");
  const sample: Sample = { readings };
  const time = json.ts ?? json.timestamp ?? json.time ?? parent.ts ?? parent.timestamp ?? parent.time;
  if (time !== undefined) sample.time = time;
  const age = json.age_ms ?? parent.age_ms;
  if (typeof age === "number" && age >= 0 && Number.isFinite(age)) sample.ageMs = age;
  return sample;
}

function collect(
  json: Json,
  prefix: string,
  depth: number,
  type: string,
  out: Reading[],
  top: boolean,
): void {
  for (const key in json) {
    if (top && (META.has(key) || (key === "metadata" && isObject(json.metadata)))) continue;
    const value = json[key];
    const field = prefix === "" ? key : prefix + key;
    if (typeof value === "number") {
      if (!Number.isFinite(value))
        throw new InvalidInputError("not_finite", `'${clip(field)}' is not a finite number`);
    } else if (typeof value === "string") checkText(field, value);
    else if (isObject(value)) {
      checkName(field, key);
      if (depth >= PAYLOAD_LIMITS.depth)
        throw new InvalidInputError("too_deep", `deeper than ${PAYLOAD_LIMITS.depth} levels`);
      collect(value, `${field}.`, depth + 1, type, out, false);
      continue;
    } else if (Array.isArray(value)) {
      throw new InvalidInputError(
        "bad_value",
        `'${clip(field)}' is an array; a reading is a number, boolean, string or null`,
      );
    }
    checkName(field, key);
    if (out.length >= PAYLOAD_LIMITS.fields) {
      throw new InvalidInputError(
        "too_many_fields",
        `more than ${PAYLOAD_LIMITS.fields} fields in one sample`,
      );
    }
    if (field === "value" && type !== "telemetry")
      out.push({ field: type, value: value as Value, sentAs: "value" });
    else out.push({ field, value: value as Value });
  }
}

function checkName(field: string, key: string): void {
  if (key === "" || field.length > PAYLOAD_LIMITS.name || UNSAFE.has(key) || CONTROL.test(field)) {
    throw new InvalidInputError("bad_field_name", `'${clip(field)}' is not a usable field name`);
  }
}

function checkText(field: string, value: string): void {
  if (value.length > PAYLOAD_LIMITS.text) {
    throw new InvalidInputError(
      "value_too_long",
      `'${clip(field)}' has more than ${PAYLOAD_LIMITS.text} characters`,
    );
  }
  if (NOT_FINITE.test(value))
    throw new InvalidInputError("not_finite", `'${clip(field)}' is not a finite number`);
  if (value.includes("\u0000") || !value.isWellFormed()) {
    throw new InvalidInputError("bad_value", `'${clip(field)}' holds NUL or half a surrogate pair`);
  }
}

const clip = (text: string) =>
  (text.length > 40 ? `${text.slice(0, 40)}…` : text).replace(/[^\x20-\x7e…]/g, "?");
