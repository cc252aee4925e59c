import { type KeyValue, openKeyValue } from "@sluice/bus";
import { type CycleResult, type Engine, type Job, runWaterCycle } from "@sluice/etl";
import { OutageError } from "@sluice/shared-types";
import type { z } from "zod";
import type { Config } from "./config.ts";
import { pollBigQuery } from "./poll-big-query.ts";

/**
 * One processing cycle of the water network: BigQuery is polled where it is configured, the cache refreshed where there
 * is a Redis. Both are opened for the cycle only: nothing else here needs them.
 */
export async function processWater(
  engine: Engine,
  job: Job,
  config: z.output<typeof Config>,
): Promise<CycleResult> {
  const cache = config.REDIS_URL === undefined ? undefined : await tryToOpen(engine, config.REDIS_URL);
  try {
    return await runWaterCycle(engine, { job, cache, poll: () => pollBigQuery(engine, config) });
  } finally {
    await cache?.close();
  }
}

async function tryToOpen({ log }: Engine, url: string): Promise<KeyValue | undefined> {
  try {
    return await openKeyValue(url, { log });
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    log.warn({ err: error }, "no cache this time");
    return undefined;
  }
}
