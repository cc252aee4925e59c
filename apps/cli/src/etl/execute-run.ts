import { randomUUID } from "node:crypto";
import { type Db, findWatermark, type TimeRange } from "@sluice/db";
import {
  afterRollups,
  backfillRange,
  createEngine,
  type Engine,
  type Job,
  type JobResult,
  latestRange,
  type PlannedRun,
  planRuns,
  runBackfill,
  runLatest,
  runRange,
} from "@sluice/etl";
import { note, printJson } from "../output.ts";
import { applyToken } from "./apply-token.ts";
import { printPlan, printResults } from "./print-results.ts";

/** What a command of `sluice etl` is to run. */
export interface EtlRun {
  name: string;
  jobs: readonly Job[];
  /** `latest`: what is due, looking back at least so far; `days`: a backfill; `range`: just that. */
  span: { latest: { lookbackMs?: number } } | { days: number } | { range: TimeRange };
  dryRun: boolean;
  /** Token of a dry run that is to be applied. */
  apply?: string | undefined;
  json: boolean;
  /** Runs after the jobs; with `dryRun` only counts. Resolves with the rows deleted. */
  cleanUp?: (dryRun: boolean) => Promise<number>;
}

const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

/** Runs it and prints what came of it; sets exit code 1 where a window failed, 130 where it was interrupted. */
export async function executeRun(db: Db, run: EtlRun, signal: AbortSignal): Promise<void> {
  const holder = `cli ${randomUUID()}`;
  const base = createEngine({ db, log: QUIET, signal, holder, trigger: "manual" });
  if (run.apply !== undefined) return applyToken(db, run.jobs, { token: run.apply, json: run.json, signal });
  const engine = await afterRollups(base);
  if (run.dryRun) return showPlan(engine, run);
  const results: JobResult[] = [];
  for (const job of run.jobs) results.push(await runOne(engine, run, job));
  const deleted = await run.cleanUp?.(false);
  if (run.json) printJson({ command: run.name, results, ...(deleted === undefined ? {} : { deleted }) });
  else printResults(results, deleted);
  if (results.some(({ failed, busy }) => failed.length + busy > 0)) process.exitCode = 1;
  if (signal.aborted) {
    note("interrupted: run it again to go on");
    process.exitCode = 130;
  }
}

function runOne(engine: Engine, { span }: EtlRun, job: Job): Promise<JobResult> {
  if ("latest" in span) return runLatest(engine, job, span.latest);
  const progress = (done: number, total: number) => {
    if (process.stderr.isTTY)
      process.stderr.write(`\r${job.name}: ${done} of ${total} windows${done === total ? "\n" : ""}`);
  };
  if ("days" in span) return runBackfill(engine, job, span.days, progress);
  return runRange(engine, job, wholeSteps(job, span.range, engine.now()), progress);
}

/** The range, widened to the job's steps, as far as it is over. */
function wholeSteps({ stepMs }: Job, { fromMs, toMs }: TimeRange, nowMs: number): TimeRange {
  const endMs = Math.min(Math.ceil(toMs / stepMs), Math.floor(nowMs / stepMs)) * stepMs;
  return { fromMs: Math.floor(fromMs / stepMs) * stepMs, toMs: endMs };
}

async function rangeOf(engine: Engine, { span }: EtlRun, job: Job): Promise<TimeRange> {
  if ("days" in span) return backfillRange(job, engine.now(), span.days);
  if ("range" in span) return wholeSteps(job, span.range, engine.now());
  const watermarkMs = await findWatermark(engine.db, job.watermarkKey);
  return latestRange(job, engine.now(), watermarkMs, span.latest.lookbackMs);
}

async function showPlan(engine: Engine, run: EtlRun): Promise<void> {
  const runs: PlannedRun[] = [];
  for (const job of run.jobs) {
    const range = await rangeOf(engine, run, job);
    if (range.fromMs < range.toMs) runs.push({ job, range });
  }
  const plan = await planRuns(engine.db, runs, engine.signal);
  const deletes = await run.cleanUp?.(true);
  if (run.json)
    printJson({ command: run.name, dryRun: true, ...plan, ...(deletes === undefined ? {} : { deletes }) });
  else printPlan(run.name, plan, deletes);
}
