import { openBigQuery, type ReadingSource, SourceError } from "@sluice/bigquery";
import { openBus } from "@sluice/bus";
import { beat, findWatermark, raiseWatermark } from "@sluice/db";
import type { Engine } from "@sluice/etl";
import { publishSamples, type SampleRow, waitProcessed } from "@sluice/intake";
import { DEVICE_ID } from "@sluice/shared-types";
import type { z } from "zod";
import type { Config } from "./config.ts";

const WATERMARK = "etl_bigquery_watermark";
const DAY_MS = 86_400_000;
/** Rows may come into the table late: a day of them is read again, and what is stored stays once. */
const OVERLAP_MS = DAY_MS;
const PAGE = 10_000;
/** How long storing may stand still before the cycle goes on without the rest; the next one does that anew. */
const STALL_MS = 30_000;

/**
 * Reads what is new in the table `sensor_readings_ml` and puts it onto the bus; how many readings. 0 where no
 * BIGQUERY_PROJECT_ID is given. Rows of the future wait until their time has come.
 */
export async function pollBigQuery(engine: Engine, config: z.output<typeof Config>): Promise<number> {
  const { db, log } = engine;
  const { BIGQUERY_PROJECT_ID: projectId, REDIS_URL } = config;
  const busUrl = config.BUS_URL ?? REDIS_URL;
  if (projectId === undefined || busUrl === undefined) return 0;
  try {
    const source = await openBigQuery({
      projectId,
      dataset: config.BIGQUERY_DATASET,
      table: config.BIGQUERY_TABLE,
      endpoint: config.BIGQUERY_ENDPOINT,
      keyFilename: config.GOOGLE_APPLICATION_CREDENTIALS,
    });
    const readings = await publishNew(engine, source, { busUrl, partitions: config.SLUICE_PARTITIONS });
    await beat(db, "bigquery", "healthy", { readings });
    return readings;
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    log.error({ err: error }, "BigQuery cannot be polled");
    await beat(db, "bigquery", "failed", { error: error.message });
    return 0;
  }
}

async function publishNew(
  { db, log, now, signal }: Engine,
  source: ReadingSource,
  { busUrl, partitions }: { busUrl: string; partitions: number },
): Promise<number> {
  const toMs = now();
  const reachedMs = await findWatermark(db, WATERMARK);
  const fromMs = reachedMs === undefined ? toMs - 7 * DAY_MS : reachedMs - OVERLAP_MS;
  const found = { newestMs: reachedMs ?? 0, badNodes: new Set<string>() };
  const bus = await openBus(busUrl, { log });
  try {
    const options = { type: "water", receivedUs: toMs * 1000, partitions };
    const { readings, marks } = await publishSamples(
      bus,
      samplesOf(source, { fromMs, toMs }, found),
      options,
    );
    await waitProcessed(bus, marks, { signal, stallMs: STALL_MS, onWaiting: () => {} });
    if (found.newestMs > 0) await raiseWatermark(db, WATERMARK, found.newestMs);
    if (found.badNodes.size > 0)
      log.warn(
        { nodes: [...found.badNodes].slice(0, 10) },
        "node ids that are no device ids were passed over",
      );
    return readings;
  } finally {
    await bus.close();
  }
}

/** Rows as samples; notes the newest instant, and nodes whose ids are none. */
async function* samplesOf(
  source: ReadingSource,
  range: { fromMs: number; toMs: number },
  found: { newestMs: number; badNodes: Set<string> },
): AsyncGenerator<SampleRow> {
  for await (const { timeUs, node, values } of source.read(range, PAGE)) {
    found.newestMs = Math.max(found.newestMs, timeUs / 1000);
    if (!DEVICE_ID.test(node)) found.badNodes.add(node);
    else if (Object.keys(values).length > 0) yield { timeUs, devices: new Map([[node, values]]) };
  }
}
