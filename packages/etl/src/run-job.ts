import {
  findBackfill,
  findWatermark,
  listFailedWindows,
  lockRollups,
  putBackfill,
  putFailedWindow,
  raiseWatermark,
  type TimeRange,
} from "@sluice/db";
import type { Engine } from "./engine.ts";
import type { Job, JobOutput } from "./job.ts";
import { type AfterLoad, runWindow } from "./run-window.ts";
import { backfillRange, cutWindows, latestRange } from "./windows.ts";

/** What a run of a job came to. */
export interface JobResult {
  job: string;
  windows: number;
  rows: number;
  changed: number;
  /** Windows that failed and stay due. */
  failed: (TimeRange & { error: string })[];
  /** Windows that somebody else works on. */
  busy: number;
}

/** Progress of a run. */
export type OnWindow = (done: number, total: number) => void;

const DUE_BATCH = 20;

/**
 * Runs what is due: windows that failed before, the latest ones, and those whose readings changed since. The watermark
 * goes forward up to the first window that did not succeed, never beyond it and never back.
 */
export async function runLatest(
  engine: Engine,
  job: Job,
  options: { lookbackMs?: number } = {},
): Promise<JobResult> {
  const result = emptyResult(job);
  const watermarkMs = await findWatermark(engine.db, job.watermarkKey);
  const range = latestRange(job, engine.now(), watermarkMs, options.lookbackMs);
  const failed = (await listFailedWindows(engine.db, job.name)).filter(
    ({ fromMs, toMs }) => fromMs < range.fromMs || toMs > range.toMs,
  );
  for (const { fromMs, toMs } of failed.slice(0, DUE_BATCH))
    await runOne(engine, job, { fromMs, toMs }, result);
  let unbroken = watermarkMs === undefined || range.fromMs <= watermarkMs;
  for (const window of cutWindows(range, job.windowMs)) {
    if (engine.signal.aborted) break;
    const raise: AfterLoad = async (tx, outputs) => {
      const reachedMs = job.emptyIsDone === false ? endOfRows(job, outputs) : window.toMs;
      if (reachedMs !== undefined) await raiseWatermark(tx, job.watermarkKey, reachedMs);
    };
    const ok = await runOne(engine, job, window, result, unbroken ? raise : undefined);
    unbroken &&= ok;
  }
  result.changed += await runDue(engine, job);
  return result;
}

/** Runs a job for every window of a range, without looking at the watermark or moving it. */
export async function runRange(
  engine: Engine,
  job: Job,
  range: TimeRange,
  onWindow: OnWindow = () => {},
): Promise<JobResult> {
  const result = emptyResult(job);
  const windows = cutWindows(range, job.windowMs);
  for (const [i, window] of windows.entries()) {
    if (engine.signal.aborted) break;
    await runOne(engine, job, window, result);
    onWindow(i + 1, windows.length);
  }
  return result;
}

/**
 * Runs a job for so many days back, whatever the watermark says. One that was interrupted, even killed, goes on
 * where it was when asked for the same days again.
 */
export async function runBackfill(
  engine: Engine,
  job: Job,
  days: number,
  onWindow: OnWindow = () => {},
): Promise<JobResult> {
  const range = backfillRange(job, engine.now(), days);
  const result = emptyResult(job);
  const nextMs = await findBackfill(engine.db, job.name, range.fromMs);
  const windows = cutWindows(range, job.windowMs);
  for (const [i, window] of windows.entries()) {
    if (engine.signal.aborted) return result;
    if (nextMs === undefined || window.toMs > nextMs) {
      const note: AfterLoad = (tx) => putBackfill(tx, job.name, { from: range.fromMs, next: window.toMs });
      const { busy } = result;
      await runOne(engine, job, window, result, note);
      if (result.busy > busy)
        await putFailedWindow(engine.db, job.name, window, "somebody else worked on it");
    }
    onWindow(i + 1, windows.length);
  }
  await putBackfill(engine.db, job.name, undefined);
  return result;
}

/** End of the last step that has a row. */
function endOfRows(job: Job, outputs: readonly JobOutput[]): number | undefined {
  const starts = outputs.flatMap(({ rows }) =>
    rows.map((row) => Date.parse(String(row.hour_start ?? row.metric_date))),
  );
  return starts.length === 0 ? undefined : starts.reduce((most, ms) => Math.max(most, ms)) + job.stepMs;
}

const emptyResult = (job: Job): JobResult => ({
  job: job.name,
  windows: 0,
  rows: 0,
  changed: 0,
  failed: [],
  busy: 0,
});

async function runOne(
  engine: Engine,
  job: Job,
  window: TimeRange,
  result: JobResult,
  afterLoad?: AfterLoad,
): Promise<boolean> {
  const outcome = await runWindow(engine, job, window, afterLoad);
  result.windows++;
  if (outcome.status === "busy") result.busy++;
  else if (outcome.status === "failed") result.failed.push({ ...window, error: outcome.error.message });
  else {
    result.rows += outcome.rows;
    result.changed += outcome.changed;
  }
  return outcome.status === "completed";
}

/** Does again what changed in windows passed before; what a batch took is due again if it fails. */
async function runDue(engine: Engine, job: Job): Promise<number> {
  const { extractDue } = job;
  if (extractDue === undefined) return 0;
  let changed = 0;
  for (let more = true; more && !engine.signal.aborted; ) {
    more = await engine.db.transaction(async (tx) => {
      await lockRollups(tx);
      const extracted = await extractDue({ tx, signal: engine.signal });
      if (extracted === undefined) return false;
      const range = { fromMs: Number.NEGATIVE_INFINITY, toMs: Number.POSITIVE_INFINITY };
      changed += await job.load(tx, job.transform(extracted, range));
      return true;
    });
  }
  return changed;
}
