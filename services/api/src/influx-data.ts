import { type Influx, identifier, influxQl, type Series } from "@sluice/influx";
import { parseTime } from "@sluice/shared-types";
import { iso } from "./schemas.ts";

/** A value of a device, as document B shows it; its tags stand beside it. */
export type DataPoint = Record<string, string | number | boolean | null>;

const UNITS: Record<string, number> = {
  us: 1,
  ms: 1000,
  s: 1e6,
  m: 6e7,
  h: 3.6e9,
  d: 8.64e10,
  w: 6.048e11,
  y: 3.1536e13,
};

/**
 * Reads what document B writes for an instant: `-1h`, `-7d12h`, `now()`, ISO 8601 or epoch. Microseconds; undefined
 * where it is none of these.
 */
export function parseInstant(text: string, nowUs: number): number | undefined {
  if (text === "now()" || text === "now") return nowUs;
  const match = /^(-?)((?:\d{1,9}(?:us|ms|s|m|h|d|w|y))+)$/.exec(text);
  if (match) {
    let us = 0;
    for (const part of (match[2] ?? "").matchAll(/(\d+)(us|ms|s|m|h|d|w|y)/g))
      us += Number(part[1]) * (UNITS[part[2] ?? ""] ?? 0);
    const at = match[1] === "-" ? nowUs - us : nowUs + us;
    return Math.abs(at) < 8e15 ? at : undefined;
  }
  const at = parseTime(text);
  return at !== undefined && Math.abs(at) < 8e15 ? at : undefined;
}

/** What is asked of a device's data in InfluxDB. */
export interface DataQuery {
  device: string;
  /** Only this measurement. */
  measurement?: string | undefined;
  fromUs: number;
  toUs: number;
  limit: number;
  newestFirst?: boolean;
}

/** Values of a device in a range, by time. Names and values go into the query quoted, whatever they hold. */
export async function queryDevice(influx: Influx, query: DataQuery): Promise<DataPoint[]> {
  const { device, measurement, fromUs, toUs, limit } = query;
  const [from, to] = [BigInt(fromUs) * 1000n, BigInt(toUs) * 1000n];
  const tag = identifier("device_id");
  const order = query.newestFirst ? "DESC" : "ASC";
  const where = influxQl`WHERE ${tag} = ${device} AND time >= ${from} AND time < ${to} GROUP BY *`;
  const source = measurement === undefined ? "/.*/" : influxQl`${identifier(measurement)}`;
  const series = await influx.query(`SELECT * FROM ${source} ${where} ORDER BY time ${order} LIMIT ${limit}`);
  const sign = query.newestFirst ? -1 : 1;
  return series
    .flatMap(toPoints)
    .sort((a, b) => sign * (a.us - b.us))
    .slice(0, limit)
    .map(({ point }) => point);
}

function toPoints({ name, tags, rows }: Series): { us: number; point: DataPoint }[] {
  const kept = Object.fromEntries(Object.entries(tags).filter(([, value]) => value !== ""));
  const { device_id, ...others } = kept;
  return rows.flatMap(({ time, ...fields }) =>
    Object.entries(fields).flatMap(([field, value]) =>
      value === null
        ? []
        : [
            {
              us: Number(time),
              point: {
                ...others,
                time: iso(Number(time)),
                measurement: name,
                device_id: device_id ?? "",
                field,
                value,
              },
            },
          ],
    ),
  );
}
