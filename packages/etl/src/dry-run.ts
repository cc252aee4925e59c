import { createHash } from "node:crypto";
import {
  type Db,
  diffDeletes,
  diffRows,
  lockRollups,
  type RowChange,
  type TimeRange,
  type Transaction,
} from "@sluice/db";
import type { Job } from "./job.ts";
import { cutWindows } from "./windows.ts";

/** What runs would change, and the token that stands for exactly that. */
export interface Plan {
  readonly token: string;
  readonly changes: readonly RowChange[];
}

/** A job over a range. */
export interface PlannedRun {
  readonly job: Job;
  readonly range: TimeRange;
}

/** The data is not what the token was made for: nothing was changed. */
export class PlanChangedError extends Error {
  override readonly name = "PlanChangedError";
}

class Undo extends Error {}

/** Works out what the runs would change, without changing anything. */
export async function planRuns(db: Db, runs: readonly PlannedRun[], signal: AbortSignal): Promise<Plan> {
  let plan: Plan | undefined;
  try {
    await db.transaction(async (tx) => {
      const { token, changes } = await computePlan(tx, runs, signal);
      plan = { token, changes };
      throw new Undo();
    }, LIMITS);
  } catch (error) {
    if (!(error instanceof Undo)) throw error;
  }
  if (plan === undefined) throw new Error("the dry run came to no plan");
  return plan;
}

/**
 * Applies exactly the plan that {@link planRuns} gave `token` to, all of it or nothing. @throws PlanChangedError where it
 * would not be that
 */
export async function applyPlan(
  db: Db,
  runs: readonly PlannedRun[],
  token: string,
  signal: AbortSignal,
): Promise<Plan> {
  return db.transaction(async (tx) => {
    const { loads, ...plan } = await computePlan(tx, runs, signal);
    if (plan.token !== token) {
      throw new PlanChangedError("what would change is not what was shown: look at it again with --dry-run");
    }
    for (const load of loads) await load();
    return plan;
  }, LIMITS);
}

const LIMITS = { lockTimeoutMs: 60_000, statementTimeoutMs: 170_000 };

async function computePlan(
  tx: Transaction,
  runs: readonly PlannedRun[],
  signal: AbortSignal,
): Promise<Plan & { loads: (() => Promise<unknown>)[] }> {
  await lockRollups(tx);
  const changes: RowChange[] = [];
  const loads: (() => Promise<unknown>)[] = [];
  for (const { job, range } of runs) {
    for (const window of cutWindows(range, job.windowMs)) {
      const outputs = job.transform(await job.extract({ tx, signal }, window), window);
      for (const { table, rows, gone = [] } of outputs) {
        changes.push(...(await diffRows(tx, table, rows)), ...(await diffDeletes(tx, table, gone)));
      }
      loads.push(() => job.load(tx, outputs));
    }
  }
  const ranges = runs.map(({ job, range }) => [job.name, range.fromMs, range.toMs]);
  const digest = createHash("sha256")
    .update(JSON.stringify([ranges, changes]))
    .digest("hex");
  return { token: `${tokenHead(runs)}.${digest.slice(0, 24)}`, changes, loads };
}

/** The ranges are in the token: `--apply` works on those that were shown, not on what the clock says by then. */
const tokenHead = (runs: readonly PlannedRun[]) =>
  runs
    .map(({ job, range }) => `${job.name}-${range.fromMs.toString(36)}-${range.toMs.toString(36)}`)
    .join("~");

/** The jobs and ranges that a token stands for; undefined where it is none, or of a job that is not in `jobs`. */
export function parseToken(token: string, jobs: readonly Job[]): PlannedRun[] | undefined {
  const match = /^([a-z0-9~-]+)\.[0-9a-f]{24}$/.exec(token);
  const runs = match?.[1]?.split("~").map((part) => {
    const [, name, from = "", to = ""] = /^(.+)-([a-z0-9]+)-([a-z0-9]+)$/.exec(part) ?? [];
    const job = jobs.find((known) => known.name === name);
    const range = { fromMs: Number.parseInt(from, 36), toMs: Number.parseInt(to, 36) };
    return job && Number.isFinite(range.fromMs) && Number.isFinite(range.toMs) ? { job, range } : undefined;
  });
  if (runs === undefined || runs.length === 0) return undefined;
  const complete = runs.filter((run) => run !== undefined);
  return complete.length === runs.length ? complete : undefined;
}
