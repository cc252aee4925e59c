import type { Queries } from "./open-db.ts";

/** A run of a job. */
export interface JobRun {
  id: string;
  job: string;
  status: string;
  trigger: string;
  createdAt: Date;
  startedAt: Date | null;
  completedAt: Date | null;
  seconds: number | null;
  from: Date | null;
  to: Date | null;
  summary: unknown;
  error: string | null;
}

/** The newest `limit` runs before an instant, of one job where named. */
export function listRuns(
  db: Queries,
  filter: { job?: string | undefined; before?: Date | undefined },
  limit: number,
): Promise<JobRun[]> {
  return db.query<JobRun>(
    `SELECT job_id AS id, job_name AS job, status, triggered_by AS trigger, created_at AS "createdAt",
            started_at AS "startedAt", completed_at AS "completedAt", duration_seconds AS seconds,
            data_start_time AS "from", data_end_time AS "to", result_summary AS summary, error_message AS error
       FROM public.processing_jobs
      WHERE ($1::text IS NULL OR job_name = $1) AND ($2::timestamptz IS NULL OR created_at < $2)
      ORDER BY created_at DESC, job_id LIMIT $3`,
    [filter.job ?? null, filter.before ?? null, limit],
  );
}

/** Whether some scheduler leads now. */
export async function isSchedulerRunning(db: Queries): Promise<boolean> {
  const rows = await db.query(
    "SELECT FROM public.etl_lease WHERE job_name = '#leader' AND expires_at > now()",
  );
  return rows.length > 0;
}
