import type { DerivedRow, DerivedTable, TimeRange, Transaction } from "@sluice/db";

/** Rows that a job computed, and those that are no more. */
export interface JobOutput {
  readonly table: DerivedTable;
  readonly rows: readonly DerivedRow[];
  /** Keys of rows to take away. */
  readonly gone?: readonly DerivedRow[];
}

/** What a job may use to extract. Everything it reads is of one transaction with what it loads. */
export interface JobContext {
  readonly tx: Transaction;
  /** Aborts at the time-out. */
  readonly signal: AbortSignal;
}

/**
 * A job over windows of time. Running it twice for a window changes nothing the second time. The engine owns schedule,
 * lease, watermark, retry, time-out and run log.
 */
export interface Job<E = unknown> {
  /** Lower-case letters, digits and hyphens. */
  readonly name: string;
  /** Column `job_type` of the run log. */
  readonly jobType: string;
  readonly schedule: Schedule;
  readonly timeoutMs: number;
  /** Key in `core.system_config`. */
  readonly watermarkKey: string;
  /** Windows begin and end at multiples of it; a stretch that is not over is never run. */
  readonly stepMs: number;
  /** Longest window of one run. */
  readonly windowMs: number;
  /** How far before the watermark a latest run begins. */
  readonly overlapMs: number;
  /** How far back a latest run begins where there is no watermark. */
  readonly lookbackMs: number;
  /** Whether a stretch without any row counts as passed; if not, the watermark waits after the last row. Default true. */
  readonly emptyIsDone?: boolean;
  readonly extract: (context: JobContext, window: TimeRange) => Promise<E>;
  readonly transform: (extracted: E, window: TimeRange) => JobOutput[];
  readonly load: (tx: Transaction, outputs: readonly JobOutput[]) => Promise<number>;
  /** Extracts what changed in windows passed long ago; undefined when nothing did. Undone with its transaction. */
  readonly extractDue?: (context: JobContext) => Promise<E | undefined>;
}

/** When a job runs: at every cron time of a zone, or a while after the last time. */
export type Schedule = { readonly cron: string; readonly zone: string } | { readonly everyMs: number };

/** Writes type-checked jobs whose extracted type does not matter any more in a list. */
export function defineJob<E>(job: Job<E>): Job {
  return job as unknown as Job;
}
