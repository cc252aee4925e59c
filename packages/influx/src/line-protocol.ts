import { InvalidInputError } from "@sluice/shared-types";

/** What a field can hold. Numbers always travel as floats, so that 21 and 21.5 never conflict. */
export type FieldValue = number | boolean | string;

/** One point: everything InfluxDB knows about a series at one instant. */
export interface Point {
  measurement: string;
  /** Empty values are left out: line protocol has none. */
  tags: Readonly<Record<string, string>>;
  fields: Readonly<Record<string, FieldValue>>;
  /** Microseconds since the epoch. */
  timeUs: number;
}

/** Names that servers refuse (`time`) or that Flux keeps for itself as columns. */
const RESERVED_TAGS = new Set(["time", "_time", "_field", "_measurement", "_value", "_start", "_stop"]);

/**
 * Encodes a point as one line (its strings may contain newlines; no newline at its end), time in microseconds.
 * Equal to what the official client's `Point` gives, except where that gives a line that means something else:
 * a name or tag that ends in a backslash, a measurement that starts with `#`, and names the servers reserve
 * get an underscore (`C:\` → `C:\_`, `#1` → `_#1`, `time` → `time_`).
 * @throws InvalidInputError where there is no field, no measurement, a number is not finite or the time no instant
 */
export function encodePoint(point: Point): string {
  return encodeLine(encodeSeries(point.measurement, point.tags), encodeFields(point.fields), point.timeUs);
}

/** Measurement and tags, in the order of the tags' keys: names the series, and may be kept for many lines. */
export function encodeSeries(measurement: string, tags: Point["tags"]): string {
  if (measurement === "") throw new InvalidInputError("bad_field_name", "a measurement needs a name");
  let series = escapeMeasurement(storedMeasurement(measurement));
  for (const key of Object.keys(tags).sort()) {
    const value = tags[key];
    if (key === "" || value === undefined || value === "") continue;
    series += `,${escapeName(storedTag(key))}=${escapeName(storedName(value))}`;
  }
  return series;
}

/** The fields of a line, in the order given. @throws InvalidInputError where there are none or one is not finite */
export function encodeFields(fields: Point["fields"]): string {
  let text = "";
  for (const key in fields) {
    const value = fields[key];
    if (value === undefined) continue;
    if (key === "") throw new InvalidInputError("bad_field_name", "a field needs a name");
    if (text !== "") text += ",";
    text += `${escapeName(storedField(key))}=${encodeValue(value)}`;
  }
  if (text === "") throw new InvalidInputError("no_readings", "a point needs a field");
  return text;
}

/** Puts a line together. @throws InvalidInputError where the time is no whole number of microseconds */
export function encodeLine(series: string, fields: string, timeUs: number): string {
  if (!Number.isSafeInteger(timeUs)) {
    throw new InvalidInputError("bad_value", "a point's time is a whole number of microseconds");
  }
  return `${series} ${fields} ${timeUs}`;
}

function encodeValue(value: FieldValue): string {
  if (typeof value === "boolean") return value ? "T" : "F";
  if (typeof value === "string") return `"${value.replace(/["\\]/g, "\\$&")}"`;
  if (!Number.isFinite(value)) throw new InvalidInputError("not_finite", "a field is not a finite number");
  return String(value); // no suffix: a float; -0 becomes 0
}

const CONTROLS: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** The name a server stores for a measurement, tag or field: what cannot be written is rewritten. */
function storedName(text: string): string {
  if (!/[\n\r\t\\]/.test(text)) return text;
  // A backslash is literal unless a special character follows, so one at the end would swallow the separator.
  const shielded = text.endsWith("\\") ? `${text}_` : text;
  return shielded.replace(/[\n\r\t]/g, (control) => CONTROLS[control] ?? control);
}

/** Like {@link storedName}, with the renaming of what servers reserve. */
export const storedMeasurement = (name: string) => storedName(name.startsWith("#") ? `_${name}` : name);

/** See {@link storedMeasurement}. */
export const storedField = (key: string) => storedName(key === "time" ? "time_" : key);

/** Tags that document B's points have where they are known; a field of that name gives way. */
const STANDARD_TAGS = new Set(["device_id", "device_name", "device_type", "location", "topic"]);

/** The column that a reading's field has in document B's points. */
export const fieldNameOf = (field: string): string =>
  storedField(STANDARD_TAGS.has(field) ? `${field}_field` : field);

const storedTag = (key: string) => storedName(RESERVED_TAGS.has(key) ? `${key}_` : key);

const SPECIAL = /[,= ]/g;
const escapeName = (stored: string) => stored.replace(SPECIAL, "\\$&");
const escapeMeasurement = (stored: string) => stored.replace(/[, ]/g, "\\$&");
