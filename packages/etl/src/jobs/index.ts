import type { InfluxSource } from "../influx-hours.ts";
import type { Job } from "../job.ts";
import { createWaterJob, type WaterOptions } from "../water/water-job.ts";
import { createDailyJob } from "./daily.ts";
import { createHourlyJob } from "./hourly.ts";
import { createPacksJob } from "./packs.ts";

/** What jobs are made with; each has its own default for what is left out. */
export interface JobSettings {
  hourlyIntervalMs?: number;
  /** Hour of the daily runs, in `zone`. */
  dailyHour?: number;
  zone?: string;
  /** Work out how long plants had what they want. */
  conditions?: boolean;
  /** Take the figures of `hourly` and `daily` from here instead of the rollups. */
  influx?: InfluxSource | undefined;
  /** The water network's processing cycle. */
  water?: WaterOptions;
}

/** Every job, in the order in which they run when several are due. A new job is a line here. */
export const createJobs = ({
  hourlyIntervalMs,
  dailyHour,
  zone,
  conditions,
  influx,
  water,
}: JobSettings = {}): Job[] => [
  createHourlyJob({ ...(hourlyIntervalMs !== undefined && { intervalMs: hourlyIntervalMs }), influx }),
  createDailyJob({
    ...(dailyHour !== undefined && { hour: dailyHour }),
    ...(zone !== undefined && { zone }),
    ...(conditions !== undefined && { conditions }),
    influx,
  }),
  createWaterJob(water),
  createPacksJob(),
];
