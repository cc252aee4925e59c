import { sampleDeviation } from "@sluice/analytics";
import {
  type DerivedRow,
  type DueBucket,
  HOURLY_TABLE,
  type HourFigures,
  linkSensorTypes,
  listHours,
  takeDue,
} from "@sluice/db";
import { type InfluxSource, listInfluxHours } from "../influx-hours.ts";
import { defineJob } from "../job.ts";
import { loadOutputs, round4 } from "./load.ts";

const HOUR_MS = 3_600_000;
const DUE_HOURS = 5000;

interface Extracted {
  hours: HourFigures[];
  /** Asked for again: those without figures are no more. */
  due: DueBucket[];
}

/** Options of {@link createHourlyJob}. */
export interface HourlyOptions {
  intervalMs?: number;
  /** Take the figures from here instead of the rollups. */
  influx?: InfluxSource | undefined;
}

/** Hourly figures of every sensor into `bi.hourly_sensor_agg`, every `intervalMs`. */
export const createHourlyJob = ({ intervalMs = 65 * 60_000, influx }: HourlyOptions = {}) =>
  defineJob<Extracted>({
    name: "hourly",
    jobType: "aggregation",
    schedule: { everyMs: intervalMs },
    timeoutMs: 120_000,
    watermarkKey: "etl_hourly_watermark",
    stepMs: HOUR_MS,
    windowMs: 24 * HOUR_MS,
    overlapMs: 30 * 60_000,
    lookbackMs: 3 * HOUR_MS,
    emptyIsDone: influx === undefined,
    extract: async ({ tx }, window) => {
      const hours = influx ? await listInfluxHours(influx, tx, window) : await listHours(tx, window);
      await linkSensorTypes(tx);
      return { hours, due: [] };
    },
    extractDue: async ({ tx }) => {
      if (influx) return undefined;
      const due = await takeDue(tx, "hourly", DUE_HOURS);
      if (due.length === 0) return undefined;
      const wanted = new Set(due.map(keyOf));
      const { sensors, fromMs, toMs } = spanOf(due);
      const hours = await listHours(tx, { fromMs, toMs: toMs + HOUR_MS }, sensors);
      return { hours: hours.filter((hour) => wanted.has(keyOf({ ...hour, bucketMs: hour.hourMs }))), due };
    },
    transform: ({ hours, due }) => {
      const found = new Set(hours.map((hour) => keyOf({ ...hour, bucketMs: hour.hourMs })));
      return [
        {
          table: HOURLY_TABLE,
          rows: hours.map(toRow),
          gone: due
            .filter((bucket) => !found.has(keyOf(bucket)))
            .map(({ sensorId, bucketMs }) => ({
              sensor_id: sensorId,
              hour_start: new Date(bucketMs).toISOString(),
            })),
        },
      ];
    },
    load: loadOutputs,
  });

const toRow = (hour: HourFigures): DerivedRow => ({
  sensor_id: hour.sensorId,
  hour_start: new Date(hour.hourMs).toISOString(),
  zone_id: hour.zoneId,
  avg_value: round4(hour.mean),
  min_value: round4(hour.min),
  max_value: round4(hour.max),
  stddev_value: round4(sampleDeviation(hour)),
  reading_count: hour.n,
});

const keyOf = ({ sensorId, bucketMs }: DueBucket) => `${sensorId}/${bucketMs}`;

/** The sensors of due buckets, and the first and last of those. */
function spanOf(due: readonly DueBucket[]): { sensors: number[]; fromMs: number; toMs: number } {
  return {
    sensors: [...new Set(due.map(({ sensorId }) => sensorId))],
    fromMs: due.reduce((least, { bucketMs }) => Math.min(least, bucketMs), Number.POSITIVE_INFINITY),
    toMs: due.reduce((most, { bucketMs }) => Math.max(most, bucketMs), Number.NEGATIVE_INFINITY),
  };
}
