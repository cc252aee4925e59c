import type { Db, Queries, Transaction } from "./open-db.ts";

/** A stretch of time, [fromMs, toMs). */
export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Somebody else took over: what this run computed may not be stored. */
export class LeaseLostError extends Error {
  override readonly name = "LeaseLostError";
}

/** Who works on what. */
export interface Lease extends TimeRange {
  runId: string;
  job: string;
  holder: string;
  ttlMs: number;
}

/** Takes a stretch of a job for itself; false where somebody has a part of it. A lease not renewed in time is gone. */
export async function takeLease(db: Db, lease: Lease): Promise<boolean> {
  return db.transaction(async (tx) => {
    await tx.query("SELECT pg_advisory_xact_lock(hashtext('sluice.etl_lease'), hashtext($1))", [lease.job]);
    await tx.execute("DELETE FROM public.etl_lease WHERE job_name = $1 AND expires_at <= clock_timestamp()", [
      lease.job,
    ]);
    const taken = await tx.execute(
      `INSERT INTO public.etl_lease (run_id, job_name, range_from, range_to, holder, expires_at)
       SELECT $1, $2, $3, $4, $5, clock_timestamp() + $6::float8 * INTERVAL '1 ms'
        WHERE NOT EXISTS (SELECT FROM public.etl_lease
                           WHERE job_name = $2 AND range_from < $4::timestamptz AND range_to > $3::timestamptz)`,
      [lease.runId, lease.job, new Date(lease.fromMs), new Date(lease.toMs), lease.holder, lease.ttlMs],
    );
    return taken > 0;
  });
}

/** Prolongs a lease; false where it is gone. */
export async function renewLease(db: Queries, runId: string, ttlMs: number): Promise<boolean> {
  const renewed = await db.execute(
    `UPDATE public.etl_lease SET expires_at = clock_timestamp() + $2::float8 * INTERVAL '1 ms'
      WHERE run_id = $1 AND expires_at > clock_timestamp()`,
    [runId, ttlMs],
  );
  return renewed > 0;
}

/** Gives a lease back. */
export async function dropLease(db: Queries, runId: string): Promise<void> {
  await db.execute("DELETE FROM public.etl_lease WHERE run_id = $1", [runId]);
}

/** Makes sure, until the transaction ends, that nobody else takes over. @throws LeaseLostError where somebody may have */
export async function holdLease(tx: Transaction, runId: string): Promise<void> {
  const [held] = await tx.query(
    "SELECT FROM public.etl_lease WHERE run_id = $1 AND expires_at > clock_timestamp() FOR UPDATE",
    [runId],
  );
  if (!held) throw new LeaseLostError(`lease of run ${runId} is lost`);
}

/** Reads a watermark of `core.system_config` (`{"timestamp": ISO, "updated_at": ISO}`), in milliseconds. */
export async function findWatermark(db: Queries, key: string): Promise<number | undefined> {
  const [row] = await db.query<{ at: Date | null }>(
    "SELECT (value ->> 'timestamp')::timestamptz AS at FROM core.system_config WHERE key = $1",
    [key],
  );
  return row?.at?.getTime();
}

/** Moves a watermark forward; one that is further already stays. */
export async function raiseWatermark(tx: Queries, key: string, toMs: number): Promise<void> {
  const value = { timestamp: isoWithOffset(toMs), updated_at: isoWithOffset(Date.now()) };
  await tx.execute(
    `INSERT INTO core.system_config AS c (key, value, description) VALUES ($1, $2, 'ETL watermark')
     ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = now()
      WHERE coalesce((c.value ->> 'timestamp')::timestamptz, '-infinity') < (excluded.value ->> 'timestamp')::timestamptz`,
    [key, JSON.stringify(value)],
  );
}

/** `2026-02-11T14:00:00+00:00`, as the document shows watermarks. */
const isoWithOffset = (atMs: number) => new Date(atMs).toISOString().replace(/(\.000)?Z$/, "+00:00");

/** A run as it begins. */
export interface NewRun extends TimeRange {
  runId: string;
  job: string;
  jobType: string;
  trigger: "scheduler" | "manual" | "event";
  configuration?: object;
}

/** Writes the row of a run that begins now. */
export async function insertRun(db: Queries, run: NewRun): Promise<void> {
  await db.execute(
    `INSERT INTO public.processing_jobs (job_id, job_type, job_name, status, started_at, data_start_time, data_end_time,
                                         triggered_by, configuration, progress_percentage)
     VALUES ($1, $2, $3, 'running', clock_timestamp(), $4, $5, $6, $7, 0)`,
    [
      run.runId,
      run.jobType,
      run.job,
      new Date(run.fromMs),
      new Date(run.toMs),
      run.trigger,
      JSON.stringify(run.configuration ?? {}),
    ],
  );
}

/** Writes how a run ended. A run that was reaped meanwhile stays failed. */
export async function finishRun(
  db: Queries,
  runId: string,
  outcome: { items: number; summary: object } | { error: Error; attempts: number },
): Promise<void> {
  const failed = "error" in outcome;
  await db.execute(
    `UPDATE public.processing_jobs
        SET status = $2::text, completed_at = clock_timestamp(), total_items = $3, processed_items = $3, failed_items = $4,
            progress_percentage = CASE WHEN $2::text = 'completed' THEN 100 ELSE progress_percentage END,
            result_summary = $5, error_message = $6, error_details = $7
      WHERE job_id = $1 AND status = 'running'`,
    [
      runId,
      failed ? "failed" : "completed",
      failed ? 0 : outcome.items,
      failed ? 1 : 0,
      failed ? null : JSON.stringify(outcome.summary),
      failed ? outcome.error.message : null,
      failed ? JSON.stringify({ name: outcome.error.name, attempts: outcome.attempts }) : null,
    ],
  );
}

/** Ends every run that nobody works on any more (killed, or hung beyond its lease); how many those were. */
export function reapRuns(db: Queries): Promise<number> {
  return db.execute(
    `UPDATE public.processing_jobs p
        SET status = 'failed', completed_at = clock_timestamp(), failed_items = 1,
            error_message = 'the process that ran it is gone or hung', error_details = '{"name": "Reaped"}'
      WHERE status = 'running' AND started_at < clock_timestamp() - INTERVAL '5 seconds'
        AND NOT EXISTS (SELECT FROM public.etl_lease l WHERE l.run_id = p.job_id AND l.expires_at > clock_timestamp())`,
  );
}

/** Notes a window that failed: it is due until {@link clearFailedWindow}. */
export async function putFailedWindow(db: Queries, job: string, range: TimeRange, error: string) {
  await db.execute(
    `INSERT INTO public.etl_failed_window (job_name, range_from, range_to, error) VALUES ($1, $2, $3, $4)
     ON CONFLICT (job_name, range_from, range_to) DO UPDATE SET error = excluded.error, failed_at = now()`,
    [job, new Date(range.fromMs), new Date(range.toMs), error],
  );
}

/** Takes away the failed windows that lie within a range done since. */
export async function clearFailedWindows(tx: Queries, job: string, range: TimeRange): Promise<void> {
  await tx.execute(
    "DELETE FROM public.etl_failed_window WHERE job_name = $1 AND range_from >= $2 AND range_to <= $3",
    [job, new Date(range.fromMs), new Date(range.toMs)],
  );
}

/** Windows of a job that failed and are due, oldest first. */
export async function listFailedWindows(
  db: Queries,
  job: string,
): Promise<(TimeRange & { error: string })[]> {
  const rows = await db.query<{ from: Date; to: Date; error: string }>(
    `SELECT range_from AS "from", range_to AS "to", error FROM public.etl_failed_window
      WHERE job_name = $1 ORDER BY range_from`,
    [job],
  );
  return rows.map(({ from, to, error }) => ({ fromMs: from.getTime(), toMs: to.getTime(), error }));
}

/** Where a backfill of `fromMs` had got to when it was interrupted. */
export async function findBackfill(db: Queries, job: string, fromMs: number): Promise<number | undefined> {
  const [row] = await db.query<{ value: { from: number; next: number } }>(
    "SELECT value FROM core.system_config WHERE key = $1",
    [`etl_backfill_${job}`],
  );
  return row?.value.from === fromMs ? row.value.next : undefined;
}

/** Notes how far a backfill is, or with undefined that it is finished. */
export async function putBackfill(
  tx: Queries,
  job: string,
  progress: { from: number; next: number } | undefined,
) {
  const key = `etl_backfill_${job}`;
  if (progress === undefined) await tx.execute("DELETE FROM core.system_config WHERE key = $1", [key]);
  else {
    await tx.execute(
      `INSERT INTO core.system_config (key, value, description) VALUES ($1, $2, 'Backfill under way')
       ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = now()`,
      [key, JSON.stringify(progress)],
    );
  }
}
