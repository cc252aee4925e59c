import { type HourFigures, listZones, registerSensors, type TimeRange, type Transaction } from "@sluice/db";
import {
  type Aggregate,
  aggregateBucket,
  DAILY_AGGREGATE,
  HOURLY_AGGREGATE,
  type Influx,
  identifier,
  influxQl,
  type Series,
} from "@sluice/influx";

/** What figures are read from. */
export type InfluxSource = Pick<Influx, "query" | "bucket">;

interface FieldHour {
  device: string;
  field: string;
  hourMs: number;
  n: number;
  mean: number;
  m2: number;
  min: number;
  max: number;
}

/**
 * Hours of document A's readings (`sensor_reading`, one device per tag `sensor_id`), with the same figures as from
 * PostgreSQL. Of InfluxDB's own hourly figures and those of the raw points each hour has the ones that count more
 * readings: raw where the bucket is missing, has no row or is behind, the bucket's where raw points are gone. Devices
 * and sensors that are not known yet are registered.
 */
export async function listInfluxHours(
  influx: InfluxSource,
  tx: Transaction,
  range: TimeRange,
): Promise<HourFigures[]> {
  const raw = influxQl`SELECT count(/.*/), mean(/.*/), min(/.*/), max(/.*/), stddev(/.*/) FROM "sensor_reading" WHERE time >= ${ns(range.fromMs)} AND time < ${ns(range.toMs)} GROUP BY time(1h), "sensor_id" fill(none)`;
  const kept = await listKept(influx, HOURLY_AGGREGATE, range);
  return toFigures(tx, [...kept, ...(await influx.query(raw)).flatMap(readSeries)]);
}

/** The UTC days that InfluxDB keeps figures of itself; `hourMs` is where a day begins. */
export async function listInfluxDays(
  influx: InfluxSource,
  tx: Transaction,
  range: TimeRange,
): Promise<HourFigures[]> {
  return toFigures(tx, await listKept(influx, DAILY_AGGREGATE, range));
}

async function listKept(influx: InfluxSource, aggregate: Aggregate, range: TimeRange): Promise<FieldHour[]> {
  const kept = influxQl`SELECT * FROM ${identifier(aggregate.measurement)} WHERE time >= ${ns(range.fromMs)} AND time < ${ns(range.toMs)} GROUP BY "sensor_id"`;
  return (await influx.query(kept, aggregateBucket(influx.bucket, aggregate))).flatMap(readSeries);
}

const ns = (atMs: number) => BigInt(atMs) * 1_000_000n;

async function toFigures(tx: Transaction, all: readonly FieldHour[]): Promise<HourFigures[]> {
  const best = new Map<string, FieldHour>();
  for (const hour of all) {
    const key = `${hour.device}\n${hour.field}\n${hour.hourMs}`;
    if (hour.n > (best.get(key)?.n ?? 0)) best.set(key, hour);
  }
  const found = [...best.values()];
  const pairs = [
    ...new Map(found.map(({ device, field }) => [`${device}\n${field}`, { device, field }])).values(),
  ];
  const facts = new Map(
    (await registerSensors(tx, pairs)).map((fact) => [`${fact.device}\n${fact.field}`, fact]),
  );
  const hours = found.flatMap(({ device, field, ...hour }) => {
    const sensor = facts.get(`${device}\n${field}`);
    if (!sensor) return [];
    const { id: sensorId, calibrationOffset: shift } = sensor;
    return [
      {
        ...hour,
        sensorId,
        zoneId: null,
        mean: hour.mean + shift,
        min: hour.min + shift,
        max: hour.max + shift,
      },
    ];
  });
  const zones = await listZones(
    tx,
    hours.map(({ sensorId, hourMs }) => ({ sensorId, atMs: hourMs })),
  );
  return hours
    .map((hour, i) => ({ ...hour, zoneId: zones[i] ?? null }))
    .sort((a, b) => a.sensorId - b.sensorId || a.hourMs - b.hourMs);
}

/** Text fields have a count only; numeric ones a mean too. The time of a row is the start of its hour. */
function readSeries({ tags, rows }: Series): FieldHour[] {
  const device = tags.sensor_id;
  if (device === undefined || device === "") return [];
  return rows.flatMap((row) =>
    Object.keys(row)
      .filter((column) => column.startsWith("mean_") && row[column] !== null)
      .map((column) => {
        const field = column.slice("mean_".length);
        const figure = (name: string) => Number(row[`${name}_${field}`] ?? 0);
        const n = figure("count");
        return {
          device,
          field,
          hourMs: Number(row.time) / 1000,
          n,
          mean: figure("mean"),
          m2: figure("stddev") ** 2 * (n - 1),
          min: figure("min"),
          max: figure("max"),
        };
      }),
  );
}
