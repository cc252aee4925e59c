import { randomUUID } from "node:crypto";
import { createBatch, findWatermark, getEtlFacts, harvestBatch, listBatches, writeAudit } from "@sluice/db";
import {
  afterRollups,
  backfillRange,
  cleanUp,
  createDailyJob,
  createEngine,
  createHourlyJob,
  type Engine,
  type Job,
  latestRange,
  planRuns,
  runBackfill,
  runLatest,
} from "@sluice/etl";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { startRequest } from "../etl-request.ts";
import { actorOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import { limit, RowId, RowParams } from "../schemas.ts";
import type { App } from "../server.ts";
import { page } from "./registry.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const Run = z.strictObject({
  command: z.enum(["hourly", "daily", "full", "cleanup", "backfill"]).default("full"),
  days: z.int().min(1).max(3660).optional(),
  hours: z.int().min(1).max(8784).optional(),
  retention_days: z.int().min(1).max(36_500).optional(),
  dry_run: z.boolean().default(false),
  /** Answer at once, with the id of the job. */
  async: z.boolean().default(false),
});
type Run = z.output<typeof Run>;

/** Document A's ETL and crops. */
export function addEtlRoutes(app: App, deps: Deps): void {
  const { db } = deps;
  const closing = new AbortController();
  app.addHook("preClose", async () => closing.abort());
  app.post(
    "/api/etl/run",
    {
      config: { access: "write" },
      schema: { body: Run.nullish().transform((body) => Run.parse(body ?? {})) },
    },
    async (request, reply) => {
      const { body } = request;
      const actor = actorOf(request);
      await writeAudit(db, {
        event: "etl.run",
        entityType: "job",
        ...actor,
        data: { ...actor.data, ...body },
      });
      if (body.async) {
        const { command } = body;
        const { signal } = closing;
        const jobId = await startRequest(deps, { command, configuration: body, signal }, () =>
          run(deps, body, signal),
        );
        return reply.code(202).send({ status: "accepted", command, job_id: jobId });
      }
      const stop = new AbortController();
      reply.raw.on("close", () => stop.abort());
      const result = await run(deps, body, stop.signal);
      if (result.failed > 0) {
        const error = `${result.failed} windows failed; they stay due`;
        throw new Refusal(500, error, { error, command: body.command, result });
      }
      return { status: "completed", command: body.command, dry_run: body.dry_run, result };
    },
  );
  addCropRoutes(app, deps);
}

async function run({ db, log, config }: Deps, body: Run, signal: AbortSignal) {
  const jobs = [
    ...(body.command === "daily" || body.command === "cleanup" ? [] : [createHourlyJob()]),
    ...(body.command === "hourly" || body.command === "cleanup"
      ? []
      : [createDailyJob({ conditions: config.ETL_CONDITION_CALC_ENABLED })]),
  ];
  const retentionDays = body.retention_days ?? config.ETL_HOURLY_RETENTION_DAYS;
  const clean = () => cleanUp(db, { nowMs: Date.now(), retentionDays, dryRun: body.dry_run });
  if (body.command === "cleanup") return { failed: 0, deleted: await clean() };
  const holder = `api ${randomUUID()}`;
  const engine = await afterRollups(createEngine({ db, log, signal, holder, trigger: "manual" }));
  const before = await getEtlFacts(db);
  if (body.dry_run) return { failed: 0, ...(await plan(engine, jobs, body)), row_counts: before };
  const results = [];
  for (const job of jobs) {
    const lookbackMs = lookbackOf(body);
    results.push(
      body.command === "backfill"
        ? await runBackfill(engine, job, body.days ?? 30, () => {})
        : await runLatest(engine, job, lookbackMs === undefined ? {} : { lookbackMs }),
    );
  }
  const deleted = body.command === "full" ? { deleted: await clean() } : {};
  return {
    failed: results.reduce((sum, { failed, busy }) => sum + failed.length + busy, 0),
    jobs: results,
    ...deleted,
  };
}

const MAX_SHOWN = 500;

async function plan(engine: Engine, jobs: readonly Job[], body: Run) {
  const runs = [];
  for (const job of jobs) {
    const range =
      body.command === "backfill"
        ? backfillRange(job, engine.now(), body.days ?? 30)
        : latestRange(job, engine.now(), await findWatermark(engine.db, job.watermarkKey), lookbackOf(body));
    if (range.fromMs < range.toMs) runs.push({ job, range });
  }
  const { token, changes } = await planRuns(engine.db, runs, engine.signal);
  return { token, count: changes.length, changes: changes.slice(0, MAX_SHOWN) };
}

function lookbackOf({ command, hours, days }: Run): number | undefined {
  if (command === "backfill") return undefined;
  if (hours !== undefined) return hours * HOUR_MS;
  return days === undefined ? undefined : days * DAY_MS;
}

const NewCrop = z.strictObject({
  variety: z.string().min(1).max(50),
  zone_id: z.int().min(1).max(2_147_483_647),
  plant_date: z.iso.date().optional(),
  plant_count: z.int().min(1).max(10_000_000).optional(),
  stage: z.string().max(50).optional(),
});
const Harvest = z.strictObject({
  weight_kg: z.number().min(0).max(99_999).optional(),
  quality_grade: z.enum(["premium", "standard", "low", "reject"]).optional(),
  notes: z.string().max(2000).optional(),
});

function addCropRoutes(app: App, { db }: Deps): void {
  const Page = z.strictObject({
    limit: limit(500, 100),
    cursor: RowId.optional(),
    status: z.enum(["active", "harvested", "failed", "aborted"]).optional(),
  });
  app.get("/api/crops", { config: { access: "read" }, schema: { querystring: Page } }, async (request) => {
    const { limit: most, cursor, status } = request.query;
    return page("crops", await listBatches(db, { after: cursor, status }, most + 1), most, ({ id }) => id);
  });
  app.get(
    "/api/crops/:id",
    { config: { access: "read" }, schema: { params: RowParams } },
    async (request) => {
      const [batch] = await listBatches(db, { id: request.params.id }, 1);
      if (!batch) throw new Refusal(404, `no crop ${request.params.id}`, { code: "not_found" });
      return batch;
    },
  );
  app.post(
    "/api/crops",
    { config: { access: "write" }, schema: { body: NewCrop } },
    async (request, reply) => {
      const { variety, zone_id, plant_date, plant_count, stage } = request.body;
      const made = await createBatch(db, {
        variety,
        zoneId: zone_id,
        ...(plant_date === undefined ? {} : { plantDate: plant_date }),
        ...(plant_count === undefined ? {} : { plantCount: plant_count }),
        ...(stage === undefined ? {} : { stage }),
      });
      await writeAudit(db, {
        event: "crop.created",
        entityType: "crop",
        entityId: `${made.id}`,
        ...actorOf(request),
      });
      const [batch] = await listBatches(db, { id: made.id }, 1);
      return reply.code(201).send(batch);
    },
  );
  app.post(
    "/api/crops/:id/harvest",
    { config: { access: "write" }, schema: { params: RowParams, body: Harvest } },
    async (request, reply) => {
      const { id } = request.params;
      const { weight_kg, quality_grade, notes } = request.body;
      await harvestBatch(db, id, { weightKg: weight_kg, quality: quality_grade, notes });
      await writeAudit(db, {
        event: "crop.harvested",
        entityType: "crop",
        entityId: `${id}`,
        ...actorOf(request),
      });
      const [batch] = await listBatches(db, { id }, 1);
      return reply.code(201).send(batch);
    },
  );
}
