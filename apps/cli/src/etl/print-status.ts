import {
  type Db,
  findReconciliation,
  findRollupProgress,
  getEtlFacts,
  listFailedWindows,
  type Reconciliation,
} from "@sluice/db";
import { createJobs } from "@sluice/etl";
import { printJson, printLine } from "../output.ts";

type Comparison = Reconciliation & { finishedMs: number };

interface RunRow {
  job: string;
  status: string;
  started: string;
  seconds: number | null;
  error: string | null;
}

/** Prints watermarks, row counts, how far the rollups are, windows that are due and the latest runs. */
export async function printStatus(db: Db, json: boolean): Promise<void> {
  const facts = await getEtlFacts(db);
  const progress = await findRollupProgress(db);
  const compared = await findReconciliation(db);
  const due = (await Promise.all(createJobs().map(({ name }) => listFailedWindows(db, name)))).flat();
  const runs = await db.query<RunRow>(
    `SELECT job_name AS job, status, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS started,
            round(duration_seconds::numeric, 3)::float8 AS seconds, error_message AS error
       FROM public.processing_jobs ORDER BY created_at DESC LIMIT 10`,
  );
  const [{ leading } = { leading: false }] = await db.query<{ leading: boolean }>(
    "SELECT EXISTS (SELECT FROM public.etl_lease WHERE job_name = '#leader' AND expires_at > now()) AS leading",
  );
  const iso = (ms: number | undefined) => (ms === undefined ? null : new Date(ms).toISOString());
  if (json) {
    printJson({
      initialized: true,
      scheduler_running: leading,
      pg_connected: true,
      sensor_mappings: facts.sensorMappings,
      watermarks: facts.watermarks,
      row_counts: { hourly_rows: facts.hourlyRows, daily_rows: facts.dailyRows },
      rollups: { done: iso(progress.doneMs), mark: iso(progress.markMs), dirty: progress.dirty },
      reconciliation: compared ? comparisonOf(compared) : null,
      failed_windows: due.map(({ fromMs, toMs, error }) => ({ from: iso(fromMs), to: iso(toMs), error })),
      runs,
    });
    return;
  }
  printLine(`scheduler   ${leading ? "running" : "not running"}`);
  printLine(`sensors     ${facts.sensorMappings} with a type`);
  for (const [key, value] of Object.entries(facts.watermarks)) {
    printLine(`${key}  ${(value as { timestamp?: string }).timestamp ?? "unknown"}`);
  }
  printLine(`bi.hourly_sensor_agg  ${facts.hourlyRows} rows`);
  printLine(`bi.daily_sensor_agg   ${facts.dailyRows} rows`);
  printLine(
    `rollups     up to ${iso(progress.doneMs) ?? "nothing yet"}, ${progress.dirty} marks to work off`,
  );
  if (compared) {
    const { from, to, finished, missing, differing, extra } = comparisonOf(compared);
    const found =
      missing + differing + extra === 0
        ? "agreed"
        : `${missing} missing, ${differing} differing, ${extra} extra in InfluxDB`;
    printLine(`stores      ${found} from ${from} to ${to}, compared ${finished}`);
  }
  for (const { fromMs, toMs, error } of due)
    printLine(`due again   ${iso(fromMs)} to ${iso(toMs)}: ${error}`);
  for (const { job, status, started, seconds, error } of runs) {
    printLine(
      `${started}  ${job}  ${status}  ${seconds === null ? "" : `${seconds} s`}${error ? `  ${error}` : ""}`,
    );
  }
}

const comparisonOf = ({ fromMs, toMs, finishedMs, ...counts }: Comparison) => ({
  from: new Date(fromMs).toISOString(),
  to: new Date(toMs).toISOString(),
  finished: new Date(finishedMs).toISOString(),
  ...counts,
});
