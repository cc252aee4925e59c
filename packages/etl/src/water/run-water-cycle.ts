import { beat } from "@sluice/db";
import { OutageError } from "@sluice/shared-types";
import type { Engine } from "../engine.ts";
import type { Job } from "../job.ts";
import { afterRollups } from "../latest.ts";
import { type JobResult, runLatest } from "../run-job.ts";
import { type CacheWriter, refreshWaterCache } from "./cache.ts";

/** What a cycle works with beside the database. */
export interface CycleDeps {
  /** Of {@link createWaterJob}. */
  job: Job;
  /** Copies for readers in a hurry; a cycle does without where it is out of reach. */
  cache?: CacheWriter | undefined;
  /** Fetches readings from outside before anything is computed; how many it published. */
  poll?: (() => Promise<number>) | undefined;
}

/** What a cycle came to. */
export interface CycleResult extends JobResult {
  /** Readings fetched from outside. */
  polled: number;
  /** Keys of the cache that were refreshed; undefined where it could not be. */
  cached: number | undefined;
}

/** One processing cycle: fetch, roll up, compute what is over and what is due, refresh the cache. */
export async function runWaterCycle(engine: Engine, { job, cache, poll }: CycleDeps): Promise<CycleResult> {
  const { db, log } = engine;
  const polled = await tryTo(engine, "fetching readings", async () => poll?.());
  const result = await runLatest(await afterRollups(engine), job);
  const cached = await tryTo(engine, "refreshing the cache", async () =>
    cache ? refreshWaterCache(db, cache, engine.now()) : undefined,
  );
  const status = result.failed.length > 0 ? "degraded" : "healthy";
  const { windows, rows, changed } = result;
  await beat(db, "processing", status, {
    windows,
    rows,
    changed,
    failed: result.failed.length,
    cached,
    polled,
  });
  if (rows > 0) log.info({ windows, rows, changed, cached, polled }, "water cycle done");
  return { ...result, polled: polled ?? 0, cached };
}

/** What is not there now does not stop the rest: the next cycle tries again. */
async function tryTo(
  { log }: Engine,
  what: string,
  run: () => Promise<number | undefined>,
): Promise<number | undefined> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    log.warn({ err: error }, `${what} has to wait`);
    return undefined;
  }
}
