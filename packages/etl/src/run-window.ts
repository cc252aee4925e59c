import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import {
  clearFailedWindows,
  dropLease,
  finishRun,
  holdLease,
  insertRun,
  LeaseLostError,
  lockRollups,
  putFailedWindow,
  renewLease,
  type TimeRange,
  type Transaction,
  takeLease,
} from "@sluice/db";
import type { Engine } from "./engine.ts";
import type { Job, JobOutput } from "./job.ts";

const POLL_MS = 200;
const MAX_STATEMENT_MS = 170_000;

/** How a window ended. */
export type WindowOutcome =
  | { readonly status: "completed"; readonly changed: number; readonly rows: number }
  | { readonly status: "failed"; readonly error: Error }
  | { readonly status: "busy" };

/** Runs after the load, in its transaction. */
export type AfterLoad = (tx: Transaction, outputs: readonly JobOutput[]) => Promise<void>;

/**
 * Runs a job for one window: lease, run log, attempts with a time-out each. What it loads and `afterLoad` are one
 * transaction, which only commits while the lease is held. A window that failed is noted as due; nothing is thrown.
 */
export async function runWindow(
  engine: Engine,
  job: Job,
  window: TimeRange,
  afterLoad: AfterLoad = async () => {},
): Promise<WindowOutcome> {
  const runId = randomUUID();
  const { db, holder, leaseMs: ttlMs } = engine;
  const lease = { runId, job: job.name, holder, ttlMs, ...window };
  const deadlineMs = performance.now() + engine.patienceMs;
  while (!(await takeLease(db, lease))) {
    if (performance.now() > deadlineMs || engine.signal.aborted) return { status: "busy" };
    await delay(POLL_MS);
  }
  const renewal = setInterval(() => {
    renewLease(db, runId, ttlMs).catch((error: unknown) =>
      engine.log.warn({ err: error, runId }, "lease not renewed"),
    );
  }, ttlMs / 3);
  try {
    await insertRun(db, { runId, job: job.name, jobType: job.jobType, trigger: engine.trigger, ...window });
    const outcome = await attemptWindow(engine, job, window, runId, afterLoad);
    if (outcome.status === "failed") {
      await putFailedWindow(db, job.name, window, outcome.error.message);
      await finishRun(db, runId, { error: outcome.error, attempts: engine.attempts });
      engine.log.error({ err: outcome.error, job: job.name, ...iso(window) }, "window failed; it stays due");
    } else {
      const { changed, rows } = outcome;
      await finishRun(db, runId, { items: rows, summary: { rows, changed } });
      engine.log.info({ job: job.name, rows, changed, ...iso(window) }, "window done");
    }
    return outcome;
  } finally {
    clearInterval(renewal);
    await dropLease(db, runId).catch(() => {}); // runs out by itself
  }
}

const iso = ({ fromMs, toMs }: TimeRange) => ({
  from: new Date(fromMs).toISOString(),
  to: new Date(toMs).toISOString(),
});

type Ended = Exclude<WindowOutcome, { status: "busy" }>;

async function attemptWindow(
  engine: Engine,
  job: Job,
  window: TimeRange,
  runId: string,
  afterLoad: AfterLoad,
): Promise<Ended> {
  let error = new Error("stopped before the first attempt");
  for (let attempt = 1; attempt <= engine.attempts && !engine.signal.aborted; attempt++) {
    if (attempt > 1) await delay(engine.backoffMs * 2 ** (attempt - 2));
    try {
      return { status: "completed", ...(await loadWindow(engine, job, window, runId, afterLoad)) };
    } catch (failure) {
      error = failure instanceof Error ? failure : new Error(String(failure), { cause: failure });
      engine.log.warn({ err: error, job: job.name, attempt, ...iso(window) }, "attempt failed");
      if (error instanceof LeaseLostError) break;
    }
  }
  return { status: "failed", error };
}

async function loadWindow(
  { db, signal }: Engine,
  job: Job,
  window: TimeRange,
  runId: string,
  afterLoad: AfterLoad,
): Promise<{ changed: number; rows: number }> {
  const timeout = new AbortController();
  const work = db.transaction(
    async (tx) => {
      await tx.query("SELECT set_config('idle_in_transaction_session_timeout', $1, true)", [
        String(job.timeoutMs + 1000),
      ]);
      await lockRollups(tx);
      const context = { tx, signal: AbortSignal.any([signal, timeout.signal]) };
      const outputs = job.transform(await job.extract(context, window), window);
      await holdLease(tx, runId);
      const changed = await job.load(tx, outputs);
      await clearFailedWindows(tx, job.name, window);
      await afterLoad(tx, outputs);
      if (timeout.signal.aborted) throw new Error("timed out");
      return { changed, rows: outputs.reduce((sum, { rows }) => sum + rows.length, 0) };
    },
    { lockTimeoutMs: job.timeoutMs, statementTimeoutMs: Math.min(job.timeoutMs, MAX_STATEMENT_MS) },
  );
  return withTimeout(work, job.timeoutMs, timeout);
}

/** A run that hangs is given up: its transaction cannot commit any more without its lease. */
async function withTimeout<T>(work: Promise<T>, timeoutMs: number, timeout: AbortController): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      timeout.abort();
      reject(new Error(`took longer than ${timeoutMs} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => {}); // reported by the race, unless it lost that
  }
}
