import { type Moments, mergeMoments, sampleDeviation } from "@sluice/analytics";
import {
  type ConditionCounts,
  DAILY_TABLE,
  type DerivedRow,
  type DueBucket,
  type HourFigures,
  linkSensorTypes,
  listConditions,
  listHours,
  type Transaction,
  takeDue,
} from "@sluice/db";
import { type InfluxSource, listInfluxDays, listInfluxHours } from "../influx-hours.ts";
import { defineJob } from "../job.ts";
import { loadOutputs, round4 } from "./load.ts";

const DAY_MS = 86_400_000;
const DUE_DAYS = 300;

interface Extracted {
  hours: HourFigures[];
  /** Days whose hours may be gone. */
  days?: HourFigures[];
  conditions: ConditionCounts[];
  /** Asked for again: those without figures are no more. */
  due: DueBucket[];
}

/** Options of {@link createDailyJob}. */
export interface DailyOptions {
  /** It runs at half past this hour in `zone`. */
  hour?: number;
  zone?: string;
  /** Work out how long plants had what they want; from the readings in PostgreSQL. */
  conditions?: boolean;
  /** Take the other figures from here instead of the rollups. */
  influx?: InfluxSource | undefined;
}

/** Daily figures (UTC days) of every sensor into `bi.daily_sensor_agg`. */
export const createDailyJob = ({ hour = 1, zone = "UTC", conditions = true, influx }: DailyOptions = {}) =>
  defineJob<Extracted>({
    name: "daily",
    jobType: "aggregation",
    schedule: { cron: `30 ${hour} * * *`, zone },
    timeoutMs: 150_000,
    watermarkKey: "etl_daily_watermark",
    stepMs: DAY_MS,
    windowMs: DAY_MS,
    overlapMs: DAY_MS,
    lookbackMs: 2 * DAY_MS,
    emptyIsDone: influx === undefined,
    extract: async ({ tx }, window) => {
      const hours = influx ? await listInfluxHours(influx, tx, window) : await listHours(tx, window);
      await linkSensorTypes(tx);
      return {
        hours,
        days: influx ? await listInfluxDays(influx, tx, window) : [],
        conditions: conditions ? await listConditions(tx, window) : [],
        due: [],
      };
    },
    extractDue: async ({ tx }) => {
      if (influx) return undefined;
      const due = await takeDue(tx, "daily", DUE_DAYS);
      if (due.length === 0) return undefined;
      return { ...(await extractDays(tx, due, conditions)), due };
    },
    transform: ({ hours, days, conditions: counts, due }) => {
      const rows = toRows(hours, counts, days);
      const found = new Set(rows.map((row) => `${row.sensor_id}/${row.metric_date}`));
      const gone = due
        .map(({ sensorId, bucketMs }) => ({ sensor_id: sensorId, metric_date: dateOf(bucketMs) }))
        .filter((key) => !found.has(`${key.sensor_id}/${key.metric_date}`));
      return [{ table: DAILY_TABLE, rows, gone }];
    },
    load: loadOutputs,
  });

const dateOf = (atMs: number) => new Date(atMs).toISOString().slice(0, 10);

async function extractDays(tx: Transaction, due: readonly DueBucket[], withConditions: boolean) {
  const hours: HourFigures[] = [];
  const conditions: ConditionCounts[] = [];
  for (const fromMs of new Set(due.map(({ bucketMs }) => bucketMs))) {
    const window = { fromMs, toMs: fromMs + DAY_MS };
    const sensors = due.filter(({ bucketMs }) => bucketMs === fromMs).map(({ sensorId }) => sensorId);
    hours.push(...(await listHours(tx, window, sensors)));
    if (withConditions) conditions.push(...(await listConditions(tx, window, sensors)));
  }
  return { hours, conditions };
}

/**
 * Hours, ordered by sensor and time, merged to UTC days, with the shares of the conditions. A day of `whole` that counts
 * more readings than its hours stands for them.
 */
function toRows(
  hours: readonly HourFigures[],
  conditions: readonly ConditionCounts[],
  whole: readonly HourFigures[] = [],
): DerivedRow[] {
  const days = new Map<string, Moments & { sensorId: number; zoneId: number | null; date: string }>();
  for (const { sensorId, zoneId, hourMs, ...moments } of hours) {
    const date = dateOf(hourMs);
    const key = `${sensorId}/${date}`;
    const day = days.get(key);
    // the zone that it was in first that day
    days.set(key, {
      sensorId,
      zoneId: day ? day.zoneId : zoneId,
      date,
      ...(day ? mergeMoments(day, moments) : moments),
    });
  }
  for (const { sensorId, zoneId, hourMs, ...moments } of whole) {
    const date = dateOf(hourMs);
    const key = `${sensorId}/${date}`;
    const day = days.get(key);
    if (moments.n > (day?.n ?? 0))
      days.set(key, { sensorId, zoneId: day ? day.zoneId : zoneId, date, ...moments });
  }
  const counts = new Map(conditions.map((count) => [`${count.sensorId}/${dateOf(count.fromMs)}`, count]));
  return [...days].map(([key, day]) => ({
    sensor_id: day.sensorId,
    metric_date: day.date,
    zone_id: day.zoneId,
    avg_value: round4(day.mean),
    min_value: round4(day.min),
    max_value: round4(day.max),
    stddev_value: round4(sampleDeviation(day)),
    reading_count: day.n,
    ...shares(counts.get(key)),
  }));
}

const percent = (part: number, total: number): number | null =>
  total === 0 ? null : Number(((part / total) * 100).toFixed(2));

function shares(count: ConditionCounts | undefined): DerivedRow {
  const { readings = 0, optimal = 0, critical = 0 } = count ?? {};
  const { heldSeconds = 0, optimalSeconds = 0, criticalSeconds = 0 } = count ?? {};
  return {
    time_in_optimal_pct: percent(optimal, readings),
    time_in_critical_pct: percent(critical, readings),
    time_weighted_optimal_pct: percent(optimalSeconds, heldSeconds),
    time_weighted_critical_pct: percent(criticalSeconds, heldSeconds),
  };
}
