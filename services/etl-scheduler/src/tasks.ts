import { reapRuns } from "@sluice/db";
import {
  advanceRollups,
  afterRollups,
  cleanUp,
  createJobs,
  type Engine,
  type Job,
  type JobResult,
  type MachineStores,
  runLatest,
  type Schedule,
  SETTLE_MS,
  WATER_JOB,
} from "@sluice/etl";
import type { Influx } from "@sluice/influx";
import type { Metrics } from "@sluice/service-kit";
import { OutageError } from "@sluice/shared-types";
import { Cron } from "croner";
import type { z } from "zod";
import { aggregateMachines } from "./aggregate-machines.ts";
import { createComparison } from "./compare-stores.ts";
import type { Config } from "./config.ts";
import type { Task } from "./lead.ts";
import { processWater } from "./process-water.ts";

const BUCKET_MS = 300_000;
const MINUTE_MS = 60_000;

/** Everything this service does, with when. Without `influx` the stores are not compared, without `stores` no machines aggregated. */
export function createTasks(
  engine: Engine,
  config: z.output<typeof Config>,
  metrics: Metrics,
  influx?: Pick<Influx, "query" | "bucket">,
  stores?: MachineStores,
): Task[] {
  const windows = metrics.counter("etl_windows_total", "Windows of ETL jobs, by how they ended", [
    "job",
    "status",
  ]);
  const rows = metrics.counter("rollup_rows_total", "5-minute rollup rows written", ["kind"]);
  const rollup = createTask("rollup", { bucketMs: BUCKET_MS }, engine.now(), async ({ db, now, signal }) => {
    const { forward, repaired } = await advanceRollups(db, now(), signal);
    rows.inc({ kind: "forward" }, forward);
    rows.inc({ kind: "repair" }, repaired);
  });
  const reap = createTask("reap", { everyMs: MINUTE_MS }, engine.now(), async ({ db, log }) => {
    const reaped = await reapRuns(db);
    if (reaped > 0) log.warn({ reaped }, "runs that nobody worked on any more were ended");
  });
  const always = [rollup, reap];
  if (influx) {
    const schedule = { cron: "10 3 * * *", zone: config.SLUICE_TIME_ZONE };
    const compare = createComparison(influx, metrics);
    always.push(createTask("reconcile", schedule, engine.now(), (leader) => unlessOut(leader, compare)));
  }
  if (!config.ETL_ENABLED) return always;
  const count = ({ job, windows: done, failed, busy }: JobResult) => {
    windows.inc({ job, status: "failed" }, failed.length);
    windows.inc({ job, status: "completed" }, done - failed.length - busy);
  };
  const runJob = async (leader: Engine, job: Job) => {
    count(await runLatest(await afterRollups(leader), job));
  };
  const jobs = createJobs({
    hourlyIntervalMs: config.ETL_HOURLY_INTERVAL_MINUTES * MINUTE_MS,
    dailyHour: config.ETL_DAILY_HOUR,
    zone: config.SLUICE_TIME_ZONE,
    conditions: config.ETL_CONDITION_CALC_ENABLED,
    water: {
      intervalMs: config.PROCESSING_INTERVAL_MINUTES * MINUTE_MS,
      parallelNodes: config.PROCESSING_PARALLEL_NODES,
      readers: engine.db,
    },
  });
  const tasks = jobs.map((job) =>
    createTask(job.name, job.schedule, engine.now(), async (leader) => {
      if (job.name === WATER_JOB) count(await processWater(leader, job, config));
      else await runJob(leader, job);
      if (job.name === "daily") await cleanHours(leader, config.ETL_HOURLY_RETENTION_DAYS);
    }),
  );
  if (stores) {
    const schedule = { everyMs: 30 * MINUTE_MS };
    tasks.push(
      createTask("machines", schedule, engine.now(), async (leader) => {
        for (const result of await aggregateMachines(leader, stores)) count(result);
      }),
    );
  }
  return [...always, ...tasks];
}

/** InfluxDB may be out of reach, or refuse to be asked: nothing else waits for it. */
async function unlessOut(engine: Engine, run: Task["run"]): Promise<void> {
  try {
    await run(engine);
  } catch (error) {
    if (error instanceof OutageError && error.dependency !== "influx") throw error;
    engine.log.warn({ err: error }, "InfluxDB cannot be compared; tomorrow again");
  }
}

async function cleanHours({ db, now, log }: Engine, retentionDays: number): Promise<void> {
  const deleted = await cleanUp(db, { nowMs: now(), retentionDays });
  if (deleted > 0) log.info({ deleted }, "hourly figures beyond retention deleted");
}

/** A task of a schedule; `bucketMs`: shortly after every such boundary. It is due once at the start, too. */
export function createTask(
  name: string,
  schedule: Schedule | { readonly bucketMs: number },
  startMs: number,
  run: Task["run"],
): Task {
  let nextMs = startMs;
  return {
    name,
    due: (nowMs) => nowMs >= nextMs,
    run: async (engine) => {
      await run(engine);
      // reckoned from the clock, not from the last time: a run that was late, or long, moves no other
      nextMs = nextTime(schedule, engine.now(), nextMs);
    },
  };
}

function nextTime(
  schedule: Schedule | { readonly bucketMs: number },
  nowMs: number,
  plannedMs: number,
): number {
  if ("bucketMs" in schedule) {
    return (Math.floor((nowMs - SETTLE_MS) / schedule.bucketMs) + 1) * schedule.bucketMs + SETTLE_MS;
  }
  if ("everyMs" in schedule) {
    return plannedMs + Math.max(1, Math.ceil((nowMs - plannedMs) / schedule.everyMs)) * schedule.everyMs;
  }
  const next = new Cron(schedule.cron, { timezone: schedule.zone, paused: true }).nextRun(new Date(nowMs));
  if (next === null) throw new Error(`the schedule '${schedule.cron}' has no next time`);
  return next.getTime();
}
