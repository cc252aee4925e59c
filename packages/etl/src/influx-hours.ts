import { type HourFigures, listZones, registerSensors, type TimeRange, type Transaction } from "@sluice/db";
import { type Influx, influxQl, type Series } from "@sluice/influx";

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
 * Hours of document A's readings (`sensor_reading`, one device per tag `sensor_id`) from InfluxDB's raw points, with the
 * same figures as from PostgreSQL. Devices and sensors that are not known yet are registered.
 */
export async function listInfluxHours(
  influx: Pick<Influx, "query">,
  tx: Transaction,
  { fromMs, toMs }: TimeRange,
): Promise<HourFigures[]> {
  const [from, to] = [BigInt(fromMs) * 1_000_000n, BigInt(toMs) * 1_000_000n];
  const series = await influx.query(
    influxQl`SELECT count(/.*/), mean(/.*/), min(/.*/), max(/.*/), stddev(/.*/) FROM "sensor_reading" WHERE time >= ${from} AND time < ${to} GROUP BY time(1h), "sensor_id" fill(none)`,
  );
  const found = series.flatMap(readSeries);
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
