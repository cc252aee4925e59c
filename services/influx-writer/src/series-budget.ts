import type { Point } from "@sluice/influx";

/** What of a point may be written. */
export interface Admitted {
  /** The point, without the message's own tags or without some fields where those were too many; undefined: none of it. */
  point?: Point;
  /** Fields left out. */
  refused: string[];
  /** The message's own tags were left out. */
  untagged: boolean;
}

/** Keeps one device from filling InfluxDB's index, which every device pays for. */
export interface SeriesBudget {
  /** Counts what the point would add for `device` and cuts what goes beyond its budget. */
  admit(device: string, point: Point): Admitted;
}

/** Tags that are bounded by the registry and by topics; all others are the sender's free choice. */
const BOUNDED_TAGS = [
  "device_id",
  "device_name",
  "device_type",
  "location",
  "topic",
  "command",
  "sensor_id",
  "source",
];

interface Spent {
  tagged: Set<string>;
  plain: Set<string>;
  fields: Map<string, Set<string>>;
  fieldCount: number;
}

/** Forgets everything beyond this many devices, rather than grow. */
const MAX_DEVICES = 100_000;

/**
 * Creates a budget of `limit` series with tags of the sender's own, `limit` without, and `limit` fields per device.
 * Counted since the start of this process: a bound on the speed of growth, not an inventory.
 */
export function createSeriesBudget(limit: number): SeriesBudget {
  const devices = new Map<string, Spent>();
  return {
    admit(device, point) {
      let spent = devices.get(device);
      if (!spent) {
        if (devices.size >= MAX_DEVICES) devices.clear();
        spent = { tagged: new Set(), plain: new Set(), fields: new Map(), fieldCount: 0 };
        devices.set(device, spent);
      }
      return admit(spent, limit, point);
    },
  };
}

function admit(spent: Spent, limit: number, point: Point): Admitted {
  const all = Object.keys(point.fields);
  let { tags } = point;
  const untagged = !spend(spent.tagged, limit, seriesKey(point.measurement, tags));
  if (untagged) {
    tags = boundedTags(tags);
    if (!spend(spent.plain, limit, seriesKey(point.measurement, tags))) return { refused: all, untagged };
  }
  const refused = all.filter((field) => !spendField(spent, limit, point.measurement, field));
  if (refused.length === all.length) return { refused, untagged };
  if (refused.length === 0) return { point: untagged ? { ...point, tags } : point, refused, untagged };
  const fields = Object.fromEntries(
    Object.entries(point.fields).filter(([field]) => !refused.includes(field)),
  );
  return { point: { ...point, tags, fields }, refused, untagged };
}

function spend(known: Set<string>, limit: number, key: string): boolean {
  if (known.has(key)) return true;
  if (known.size >= limit) return false;
  known.add(key);
  return true;
}

function spendField(spent: Spent, limit: number, measurement: string, field: string): boolean {
  let known = spent.fields.get(measurement);
  if (known?.has(field)) return true;
  if (spent.fieldCount >= limit) return false;
  if (!known) {
    known = new Set();
    spent.fields.set(measurement, known);
  }
  known.add(field);
  spent.fieldCount++;
  return true;
}

function seriesKey(measurement: string, tags: Point["tags"]): string {
  let key = measurement;
  for (const name in tags) key += `\u0000${name}\u0000${tags[name]}`;
  return key;
}

function boundedTags(tags: Point["tags"]): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of BOUNDED_TAGS) {
    const value = tags[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}
