import { randomUUID } from "node:crypto";
import { dropLease, finishRun, insertRun, renewLease, takeLease } from "@sluice/db";
import type { Deps } from "./deps.ts";

const LEASE_MS = 30_000;

/**
 * Runs `work` in the background under a row of the run log of its own, and resolves with that row's id once it has begun.
 * Whoever dies with it is reaped like every run. `signal` stops it. `work` resolves with what it came to; `failed` windows
 * make it a failed run.
 */
export async function startRequest(
  { db, log }: Pick<Deps, "db" | "log">,
  request: { command: string; configuration: object; signal: AbortSignal },
  work: () => Promise<{ failed: number }>,
): Promise<string> {
  const runId = randomUUID();
  const job = `etl ${request.command}`;
  const nowMs = Date.now();
  const range = { fromMs: nowMs, toMs: nowMs + 1 };
  await takeLease(db, { runId, job: `#request ${runId}`, holder: `api ${runId}`, ttlMs: LEASE_MS, ...range });
  await insertRun(db, {
    runId,
    job,
    jobType: "request",
    trigger: "manual",
    configuration: request.configuration,
    ...range,
  });
  const renewal = setInterval(() => {
    renewLease(db, runId, LEASE_MS).catch(() => {}); // reaped if it stays so
  }, LEASE_MS / 3);
  const run = async () => {
    try {
      const summary = await work();
      if (request.signal.aborted) throw new Error("stopped before it was done");
      if (summary.failed > 0) throw new Error(`${summary.failed} windows failed; they stay due`);
      await finishRun(db, runId, { items: 1, summary });
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause), { cause });
      log.warn({ err: error, runId, job }, "a run that was asked for failed");
      await finishRun(db, runId, { error, attempts: 1 });
    } finally {
      clearInterval(renewal);
      await dropLease(db, runId);
    }
  };
  run().catch((error: unknown) => log.warn({ err: error, runId }, "how the run ended could not be kept"));
  return runId;
}
