import type { HourSums, StoredReading, TimeRange } from "@sluice/db";
import {
  escapeIdentifier,
  fieldNameOf,
  type Influx,
  influxQl,
  SAMPLE_DEVICE,
  type Series,
} from "@sluice/influx";
import type { InfluxSource } from "../influx-hours.ts";

/** The readings of a model: document A has them by `sensor_id`, document B by `device_id`. */
export interface ModelSums extends HourSums {
  model: "a" | "b";
}

/** A number in InfluxDB, with the series and column where it stands. */
export interface InfluxReading extends StoredReading {
  measurement: string;
  tags: Readonly<Record<string, string>>;
  column: string;
}

type Renamed = ReadonlyMap<string, string>;
/** A device's fields by the names they have in InfluxDB, where these differ. */
export type Names = (device: string) => Renamed;

/** Makes {@link Names} of the sensors that are known. */
export function createNames(known: readonly { device: string; field: string }[]): Names {
  const devices = new Map<string, Map<string, string>>();
  for (const { device, field } of known) {
    const name = fieldNameOf(field);
    if (name === field) continue;
    const names = devices.get(device) ?? new Map<string, string>();
    devices.set(device, names.set(name, field));
  }
  return (device) => devices.get(device) ?? new Map();
}

/**
 * The measurements there are, quoted; none where the bucket is missing. Each is asked by itself: across several a field
 * would have one type only.
 */
export async function listMeasurements(influx: InfluxSource): Promise<string[]> {
  const series = await influx.query("SHOW MEASUREMENTS", influx.bucket);
  return series.flatMap(({ rows }) => rows.map((row) => escapeIdentifier(String(row.name))));
}

/** Where and how readings are looked for in InfluxDB. */
export interface InfluxReadings {
  influx: Pick<Influx, "query">;
  measurements: readonly string[];
  names: Names;
}

/**
 * Numbers per hour of every device and field, or of those of `devices`. Booleans have no sum and are left out: their
 * hours are compared reading by reading.
 */
export async function listInfluxSums(
  { influx, measurements, names }: InfluxReadings,
  range: TimeRange,
  devices?: readonly string[],
): Promise<ModelSums[]> {
  const where = `${during(range)}${ofDevices(devices)}`;
  const sums = new Map<string, ModelSums>();
  // one after the other: an answer of one measurement is large enough
  for (const measurement of measurements) {
    const statement =
      `SELECT count(/.*/), sum(/.*/), min(/.*/), max(/.*/) FROM ${measurement} WHERE ${where} ` +
      `GROUP BY time(1h), "device_id", "sensor_id" fill(none)`;
    for (const series of await influx.query(statement)) addSeries(sums, series, names);
  }
  return [...sums.values()];
}

const during = ({ fromMs, toMs }: TimeRange) =>
  influxQl`time >= ${BigInt(fromMs) * 1_000_000n} AND time < ${BigInt(toMs) * 1_000_000n}`;

function ofDevices(devices: readonly string[] | undefined): string {
  if (devices === undefined) return "";
  const each = devices.map((device) => influxQl`"device_id" = ${device} OR "sensor_id" = ${device}`);
  return ` AND (${each.join(" OR ")})`;
}

function addSeries(sums: Map<string, ModelSums>, series: Series, names: Names): void {
  const owner = ownerOf(series.tags);
  if (!owner) return;
  for (const row of series.rows) {
    const hourMs = Number(row.time) / 1000;
    for (const [field, figures] of figuresOf(row, series.name, owner, names(owner.device))) {
      const key = `${owner.model}\n${owner.device}\n${field}\n${hourMs}`;
      const before = sums.get(key);
      sums.set(key, before ? add(before, figures) : { ...owner, field, hourMs, ...figures });
    }
  }
}

type Figures = Pick<HourSums, "n" | "sum" | "min" | "max">;

const add = (before: ModelSums, { n, sum, min, max }: Figures): ModelSums => ({
  ...before,
  n: before.n + n,
  sum: before.sum + sum,
  min: Math.min(before.min, min),
  max: Math.max(before.max, max),
});

/** Figures by field; one that is called like its measurement may stand there twice, also as `value`. */
function figuresOf(row: Series["rows"][number], type: string, { model }: Owner, renamed: Renamed) {
  const fields = new Map<string, Figures>();
  for (const column in row) {
    if (!column.startsWith("sum_") || row[column] === null) continue;
    const name = column.slice("sum_".length);
    const field = fieldOf(name, type, model, renamed);
    const figure = (of: string) => Number(row[`${of}_${name}`]);
    const figures = { n: figure("count"), sum: figure("sum"), min: figure("min"), max: figure("max") };
    if (figures.n > (fields.get(field)?.n ?? 0)) fields.set(field, figures);
  }
  return fields;
}

/** Everything that InfluxDB has of a device in a range, numbers and booleans. */
export async function listInfluxReadings(
  { influx, measurements, names }: InfluxReadings,
  device: string,
  range: TimeRange,
): Promise<InfluxReading[]> {
  const where = `${during(range)}${ofDevices([device])}`;
  const statements = measurements.map((name) => `SELECT * FROM ${name} WHERE ${where} GROUP BY *`);
  const series = statements.length === 0 ? [] : await influx.query(statements.join("; "));
  return series.flatMap(({ name, tags, rows }) => {
    const owner = ownerOf(tags);
    if (owner?.device !== device) return [];
    const kept = Object.fromEntries(Object.entries(tags).filter(([, value]) => value !== ""));
    const type = name === "command_result" ? (kept.command ?? name) : name;
    return rows.flatMap((row) =>
      Object.entries(row).flatMap(([column, cell]) => {
        if (column === "time" || (typeof cell !== "number" && typeof cell !== "boolean")) return [];
        const field = fieldOf(column, type, owner.model, names(device));
        const value = Number(cell);
        return [{ field, timeUs: Number(row.time), value, measurement: name, tags: kept, column }];
      }),
    );
  });
}

interface Owner {
  device: string;
  model: "a" | "b";
}

function ownerOf(tags: Series["tags"]): Owner | undefined {
  const device = tags.sensor_id || tags.device_id;
  if (!device || device === SAMPLE_DEVICE) return undefined;
  return { device, model: tags.sensor_id ? "a" : "b" };
}

/** The sensor that a column belongs to: `value` is the one that is called like its measurement. */
function fieldOf(column: string, type: string, model: "a" | "b", renamed: Renamed): string {
  const own = model === "b" && column === "value" && type !== "telemetry" && type !== "status";
  return own ? type : (renamed.get(column) ?? column);
}
