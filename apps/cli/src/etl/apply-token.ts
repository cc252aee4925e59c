import type { Db } from "@sluice/db";
import { applyPlan, type Job, PlanChangedError, parseToken } from "@sluice/etl";
import { CommandError } from "../command-error.ts";
import { printJson, printLine } from "../output.ts";

/**
 * Applies what a dry run of `jobs` showed under `token`, and says how much that was.
 * @throws CommandError where it is no such token, or something else would change by now
 */
export async function applyToken(
  db: Db,
  jobs: readonly Job[],
  { token, json, signal }: { token: string; json: boolean; signal: AbortSignal },
): Promise<void> {
  const runs = parseToken(token, jobs);
  if (runs === undefined)
    throw new CommandError(`--apply: '${token}' is no token of a dry run of this command`, 2);
  try {
    const plan = await applyPlan(db, runs, token, signal);
    if (json) printJson({ applied: true, ...plan });
    else printLine(`applied: ${plan.changes.length} rows`);
  } catch (error) {
    if (error instanceof PlanChangedError) throw new CommandError(error.message, 1, { cause: error });
    throw error;
  }
}
