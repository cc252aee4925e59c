import { countHoursBefore, type Db, purgeHours, purgeRetained } from "@sluice/db";

const DAY_MS = 86_400_000;

/**
 * Deletes hourly figures older than `retentionDays`, and what `retention_policy` names, so far as it is rolled up; with
 * `dryRun` only counts them. Resolves with the number of rows.
 */
export async function cleanUp(
  db: Db,
  options: { nowMs: number; retentionDays: number; dryRun?: boolean },
): Promise<number> {
  const beforeMs = options.nowMs - options.retentionDays * DAY_MS;
  const purged = await purgeRetained(db, options);
  const rows = purged.reduce((sum, result) => sum + result.rows, 0);
  if (options.dryRun) return rows + (await countHoursBefore(db, beforeMs));
  return rows + (await db.transaction((tx) => purgeHours(tx, beforeMs)));
}
