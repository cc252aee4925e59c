import type { Db, Log } from "@sluice/db";

/** What the engine works with. */
export interface Engine {
  readonly db: Db;
  readonly log: Log;
  /** Who holds leases; different in every process. */
  readonly holder: string;
  readonly trigger: "scheduler" | "manual" | "event";
  readonly now: () => number;
  /** Stops between windows, and within one at the next statement. */
  readonly signal: AbortSignal;
  /** How long a lease lasts without renewal: as long as others wait for a process that was killed. */
  readonly leaseMs: number;
  /** Pause before the second attempt; doubled before each further one. */
  readonly backoffMs: number;
  readonly attempts: number;
  /** How long to wait for a window that somebody else works on. */
  readonly patienceMs: number;
}

/** An engine with the usual patience. */
export function createEngine(
  given: Pick<Engine, "db" | "log" | "holder" | "trigger"> & Partial<Engine>,
): Engine {
  return {
    now: Date.now,
    signal: new AbortController().signal,
    leaseMs: 30_000,
    backoffMs: 500,
    attempts: 3,
    patienceMs: 60_000,
    ...given,
  };
}
