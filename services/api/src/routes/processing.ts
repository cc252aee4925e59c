import { randomUUID } from "node:crypto";
import { findProcessingStatus, isSchedulerRunning, listModels, writeAudit } from "@sluice/db";
import { createEngine, createWaterJob, runWaterCycle } from "@sluice/etl";
import type { Deps } from "../deps.ts";
import { actorOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import type { App } from "../server.ts";

/** Readings older than this are stale. */
const STALE_S = 3600;
const PUBLIC = { config: { access: "public" as const } };

/** Document C's routes of the processing: whether it works, that there are no models yet, and a cycle at once. */
export function addProcessingRoutes(app: App, deps: Deps): void {
  const { db, config } = deps;
  app.get("/api/v1/status", PUBLIC, async () => {
    const nowMs = Date.now();
    const state = await findProcessingStatus(db, nowMs);
    const { nodes, lastSuccess, lastRun } = state;
    const patienceMs = 2 * config.PROCESSING_INTERVAL_MINUTES * 60_000;
    const fresh = lastSuccess !== null && nowMs - lastSuccess.getTime() <= patienceMs;
    const failing = state.failedWindows > 0 || lastRun?.status === "failed";
    const health = !fresh ? "stale" : failing ? "degraded" : "healthy";
    const age = (at: Date | null) => (at === null ? null : Math.round((nowMs - at.getTime()) / 1000));
    const silent = nodes.total > 0 && (age(state.latestReading) ?? Number.POSITIVE_INFINITY) > STALE_S;
    return {
      status: health === "healthy" && silent ? "stale" : health,
      timestamp: new Date(nowMs).toISOString(),
      processing_service: {
        status: health,
        scheduler_running: await isSchedulerRunning(db),
        interval_minutes: config.PROCESSING_INTERVAL_MINUTES,
        last_run: lastRun,
        last_success: lastSuccess,
        seconds_since_success: age(lastSuccess),
        runs_24h: state.runsToday,
        failed_windows: state.failedWindows,
        processed_up_to: state.watermark,
        heartbeat: state.heartbeat,
      },
      data: {
        latest_reading: state.latestReading,
        latest_window: state.latestWindow,
        lag_seconds: age(state.latestReading),
        nodes,
      },
      cache: { synced_at: state.cacheSyncedAt, age_seconds: age(state.cacheSyncedAt) },
    };
  });
  app.get("/api/v1/models/status", PUBLIC, async () => {
    const models = await listModels(db);
    const active = models.filter(({ is_active }) => is_active).length;
    const message =
      models.length === 0 ? "no model has been trained yet" : `${active} of ${models.length} are active`;
    return { status: active > 0 ? "active" : "none", message, count: models.length, active, models };
  });
  let running: ReturnType<typeof runCycle> | undefined;
  app.post("/api/v1/processing/trigger", { config: { access: "write" } }, async (request, reply) => {
    const actor = actorOf(request);
    await writeAudit(db, { event: "processing.triggered", entityType: "job", entityId: "water", ...actor });
    // one at a time: others would only hold connections that it needs
    running ??= runCycle(deps).finally(() => {
      running = undefined;
    });
    const cycle = running;
    const done = await Promise.race([cycle, later(ANSWER_WITHIN_MS)]);
    if (done === undefined) {
      cycle.catch((error: unknown) => deps.log.error({ err: error }, "triggered cycle failed"));
      return reply.code(202).send({ status: "running", message: "look at /api/v1/status for how it ends" });
    }
    const { failed, ...result } = done;
    if (failed.length > 0) {
      const error = `${failed.length} windows failed; they stay due`;
      throw new Refusal(500, error, { error, result: { ...result, failed } });
    }
    const status = result.busy > 0 ? "already running" : "completed";
    return reply.code(result.busy > 0 ? 202 : 200).send({ status, result });
  });
}

const ANSWER_WITHIN_MS = 20_000;

const later = (ms: number) =>
  new Promise<undefined>((resolve) => {
    setTimeout(resolve, ms, undefined).unref();
  });

function runCycle({ db, keyValue, log, config }: Deps) {
  const engine = createEngine({
    db,
    log,
    holder: `api ${randomUUID()}`,
    trigger: "event",
    patienceMs: 5000,
  });
  const job = createWaterJob({ readers: db, parallelNodes: config.PROCESSING_PARALLEL_NODES });
  return runWaterCycle(engine, { job, cache: keyValue });
}
