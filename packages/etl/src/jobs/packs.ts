import {
  computeMetrics,
  listMetricRowKeys,
  listWantedMetrics,
  PACK_METRIC_TABLE,
  registerDueJob,
  type TimeRange,
  type Transaction,
  takeDue,
  type WantedMetric,
} from "@sluice/db";
import { defineJob, type JobOutput } from "../job.ts";
import { loadOutputs, replaceRows } from "./load.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const DUE = 2000;
const WATERMARK = "etl_packs_watermark";

/** Figures that enabled packs ask for, per device and hour or UTC day, into `bi.pack_metric`. */
export const createPacksJob = () =>
  defineJob<readonly JobOutput[]>({
    name: "packs",
    jobType: "aggregation",
    schedule: { everyMs: HOUR_MS },
    timeoutMs: 120_000,
    watermarkKey: WATERMARK,
    stepMs: HOUR_MS,
    windowMs: DAY_MS,
    overlapMs: 0,
    lookbackMs: 2 * DAY_MS,
    extract: async ({ tx }, window) => {
      const wanted = await listWantedMetrics(tx);
      if (wanted.length === 0) return [];
      await registerDueJob(tx, { name: "packs", watermarkKey: WATERMARK, step: "24 hours" });
      return compute(tx, wanted, window);
    },
    extractDue: async ({ tx }) => {
      const due = await takeDue(tx, "packs", DUE);
      if (due.length === 0) return undefined;
      const wanted = await listWantedMetrics(tx);
      const outputs: JobOutput[] = [];
      for (const fromMs of new Set(due.map(({ bucketMs }) => bucketMs)))
        outputs.push(...(await compute(tx, wanted, { fromMs, toMs: fromMs + DAY_MS })));
      return outputs;
    },
    transform: (outputs) => [...outputs],
    load: loadOutputs,
  });

/** The hours that begin in a range, and the days that are over with it. */
async function compute(
  tx: Transaction,
  wanted: readonly WantedMetric[],
  range: TimeRange,
): Promise<JobOutput[]> {
  const firstDayMs = Math.floor(range.fromMs / DAY_MS) * DAY_MS;
  const days = { fromMs: firstDayMs, toMs: Math.floor(range.toMs / DAY_MS) * DAY_MS };
  const outputs: JobOutput[] = [];
  for (const [bucket, span] of [
    ["1h", range],
    ["1d", days],
  ] as const) {
    const metrics = wanted.filter((metric) => metric.bucket === bucket);
    if (metrics.length === 0 || span.fromMs >= span.toMs) continue;
    const rows = await computeMetrics(tx, metrics, { ...span, bucket });
    const before = await listMetricRowKeys(tx, [...new Set(metrics.map(({ job }) => job))], span);
    outputs.push(replaceRows(PACK_METRIC_TABLE, rows, before));
  }
  return outputs;
}
