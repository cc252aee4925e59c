import { createPointWriter, type Influx, influxQl, type Point } from "@sluice/influx";
import type { InfluxReading } from "./influx-readings.ts";

const BATCH = 5000;

/**
 * Deletes readings from InfluxDB and puts back what else was in their points. Points that follow each other in a series
 * are deleted at once.
 */
export async function deletePoints(influx: Influx, unwanted: readonly InfluxReading[]): Promise<void> {
  const series = new Map<string, InfluxReading[]>();
  for (const reading of unwanted) {
    const key = `${reading.measurement}\n${JSON.stringify(reading.tags)}`;
    const readings = series.get(key);
    if (readings) readings.push(reading);
    else series.set(key, [reading]);
  }
  for (const readings of series.values()) await deleteFromSeries(influx, readings);
}

async function deleteFromSeries(influx: Influx, readings: readonly InfluxReading[]): Promise<void> {
  const [{ measurement, tags } = { measurement: "", tags: {} }] = readings;
  const columns = new Map<number, Set<string>>();
  for (const { timeUs, column } of readings)
    columns.set(timeUs, (columns.get(timeUs) ?? new Set()).add(column));
  const times = [...columns.keys()];
  const fromUs = times.reduce((least, timeUs) => Math.min(least, timeUs));
  const toUs = times.reduce((most, timeUs) => Math.max(most, timeUs)) + 1;
  const left: Point[] = [];
  let run: { fromUs: number; toUs: number } | undefined;
  const flush = async () => {
    if (run) await influx.deleteRange({ measurement, tags, ...run });
    run = undefined;
  };
  for (const point of await listPoints(influx, { measurement, tags, fromUs, toUs })) {
    const { timeUs } = point;
    const gone = columns.get(timeUs);
    if (!gone) {
      await flush();
      continue;
    }
    run = { fromUs: run?.fromUs ?? timeUs, toUs: timeUs + 1 };
    const fields = Object.entries(point.fields).filter(([column]) => !point.own || !gone.has(column));
    if (fields.length > 0) left.push({ ...point, measurement, fields: Object.fromEntries(fields) });
  }
  await flush();
  if (left.length > 0) await createPointWriter(influx, BATCH).write(left);
}

/** Points of a series, and of those that have more tags, which a deletion would meet as well, by time. */
async function listPoints(
  influx: Influx,
  range: Pick<InfluxReading, "measurement" | "tags"> & { fromUs: number; toUs: number },
) {
  const where = Object.entries(range.tags).map(
    ([name, value]) => influxQl`${{ identifier: name }} = ${value}`,
  );
  where.push(
    influxQl`time >= ${BigInt(range.fromUs) * 1000n}`,
    influxQl`time < ${BigInt(range.toUs) * 1000n}`,
  );
  const series = await influx.query(
    `SELECT * FROM ${influxQl`${{ identifier: range.measurement }}`} WHERE ${where.join(" AND ")} GROUP BY *`,
  );
  const points = series.flatMap(({ tags: all, rows }) => {
    const tags = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
    const own = Object.keys(tags).length === Object.keys(range.tags).length;
    return rows.map(({ time, ...row }) => {
      const fields = Object.entries(row).filter(([, value]) => value !== null);
      return { timeUs: Number(time), own, tags, fields: Object.fromEntries(fields) as Point["fields"] };
    });
  });
  return points.sort((a, b) => a.timeUs - b.timeUs);
}
