import { randomUUID } from "node:crypto";
import {
  findRollupProgress,
  findWatermark,
  isSchedulerRunning,
  listFailedWindows,
  listRuns,
  writeAudit,
} from "@sluice/db";
import {
  afterRollups,
  applyPlan,
  backfillRange,
  createEngine,
  createJobs,
  floorStep,
  type Job,
  PlanChangedError,
  parseToken,
  planRuns,
} from "@sluice/etl";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { actorOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import { Instant, iso, limit } from "../schemas.ts";
import type { App } from "../server.ts";
import { page } from "./registry.ts";

const MAX_CHANGES = 1000;
const DAY_MS = 86_400_000;
const MAX_RANGE_MS = 3660 * DAY_MS;
const JobName = z.string().regex(/^[a-z0-9-]{1,64}$/, "is the name of a job");

const Runs = z.strictObject({
  limit: limit(500, 50),
  job: z.string().max(100).optional(),
  cursor: Instant.optional(),
});
const Backfill = z.union([
  z.strictObject({
    jobs: z.array(JobName).min(1).max(100).optional(),
    days: z.int().min(1).max(3660).optional(),
    from: Instant.optional(),
    to: Instant.optional(),
  }),
  z.strictObject({ apply: z.string().max(10_000) }),
]);

/** Jobs: their runs, how far each is, what it owes, and backfills that are looked at before they are applied. */
export function addJobRoutes(app: App, deps: Deps): void {
  const { db, config } = deps;
  const read = { access: "read" as const };
  const jobs = createJobs({
    hourlyIntervalMs: config.ETL_HOURLY_INTERVAL_MINUTES * 60_000,
    dailyHour: config.ETL_DAILY_HOUR,
    zone: config.SLUICE_TIME_ZONE,
    conditions: config.ETL_CONDITION_CALC_ENABLED,
  });
  app.get("/api/v1/jobs", { config: read, schema: { querystring: Runs } }, async (request) => {
    const { limit: most, job, cursor } = request.query;
    const before = cursor === undefined ? undefined : new Date(cursor / 1000);
    return page("jobs", await listRuns(db, { job, before }, most + 1), most, ({ createdAt }) =>
      createdAt.toISOString(),
    );
  });
  app.get("/api/v1/jobs/schedule", { config: read }, async () => {
    const rollups = await findRollupProgress(db);
    return {
      enabled: config.ETL_ENABLED,
      running: await isSchedulerRunning(db),
      rollups: { rolledUpTo: isoMs(rollups.doneMs), dirty: rollups.dirty },
      jobs: await Promise.all(jobs.map((job) => stateOf(deps, job))),
    };
  });
  app.post(
    "/api/v1/jobs/backfill",
    { config: { access: "write" }, schema: { body: Backfill } },
    async (request, reply) => {
      const stop = new AbortController();
      reply.raw.on("close", () => stop.abort());
      const { body } = request;
      const base = createEngine({
        db,
        log: deps.log,
        signal: stop.signal,
        holder: `api ${randomUUID()}`,
        trigger: "manual",
      });
      if ("apply" in body) {
        const runs = parseToken(body.apply, jobs);
        if (runs === undefined)
          throw new Refusal(400, "apply: is no token of a dry run", { code: "invalid" });
        const { changes } = await applyPlan(db, runs, body.apply, stop.signal).catch((error: unknown) => {
          if (error instanceof PlanChangedError) throw new Refusal(409, error.message, { code: "conflict" });
          throw error;
        });
        const actor = actorOf(request);
        const data = { ...actor.data, token: body.apply, changes: changes.length };
        await writeAudit(db, { event: "backfill.applied", entityType: "job", ...actor, data });
        return { applied: true, count: changes.length };
      }
      const engine = await afterRollups(base);
      const wanted = pick(jobs, body.jobs);
      const runs = wanted.map((job) => ({ job, range: rangeFor(job, body, engine.now()) }));
      const { token, changes } = await planRuns(
        db,
        runs.filter(({ range }) => range.fromMs < range.toMs),
        stop.signal,
      );
      return {
        applied: false,
        token,
        count: changes.length,
        changes: changes.slice(0, MAX_CHANGES),
        ranges: runs.map(({ job, range }) => ({
          job: job.name,
          from: isoMs(range.fromMs),
          to: isoMs(range.toMs),
        })),
      };
    },
  );
}

async function stateOf({ db }: Deps, job: Job) {
  const [watermarkMs, failed, [last]] = await Promise.all([
    findWatermark(db, job.watermarkKey),
    listFailedWindows(db, job.name),
    listRuns(db, { job: job.name }, 1),
  ]);
  return {
    name: job.name,
    type: job.jobType,
    schedule: job.schedule,
    watermark: isoMs(watermarkMs),
    /** Windows that failed and stay due. */
    holes: failed.map(({ fromMs, toMs, error }) => ({ from: isoMs(fromMs), to: isoMs(toMs), error })),
    lastRun: last ?? null,
  };
}

function pick(jobs: readonly Job[], names: readonly string[] | undefined): readonly Job[] {
  if (names === undefined) return jobs;
  const unknown = names.find((name) => !jobs.some((job) => job.name === name));
  if (unknown !== undefined) {
    const known = jobs.map(({ name }) => name).join(", ");
    throw new Refusal(400, `jobs: there is no '${unknown}'; there are ${known}`, { code: "invalid" });
  }
  return jobs.filter(({ name }) => names.includes(name));
}

function rangeFor(
  job: Job,
  { days, from, to }: { days?: number | undefined; from?: number | undefined; to?: number | undefined },
  nowMs: number,
) {
  if (from === undefined && to !== undefined) throw new Refusal(400, "to: is nothing without from");
  if (from === undefined) return backfillRange(job, nowMs, days ?? 30);
  if (to !== undefined && to <= from) throw new Refusal(400, "from: is before to");
  const range = {
    fromMs: floorStep(job, from / 1000),
    toMs: floorStep(job, Math.min(nowMs, (to ?? nowMs * 1000) / 1000)),
  };
  if (range.toMs - range.fromMs > MAX_RANGE_MS) throw new Refusal(400, "from: at most ten years before to");
  return range;
}

const isoMs = (ms: number | undefined) => (ms === undefined ? null : iso(ms * 1000));
