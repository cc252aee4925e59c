import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type Db, dropLease, type Log, renewLease, takeLease } from "@sluice/db";
import { OutageError } from "@sluice/shared-types";

/** The stretch of time in which this process, and no other, judges readings. */
export interface Term {
  /** Name of the lease: a transaction that holds it cannot be somebody's who has lost it. */
  readonly id: string;
  /** Aborts when the lease is lost or the process is told to stop. */
  readonly signal: AbortSignal;
  /** To be called by who finds out that the lease is lost. */
  lose(): void;
}

/** How long others wait for one that was killed. */
const LEASE_MS = 5_000;
const TICK_MS = 500;

/**
 * Serves one term after the other until the signal; meanwhile other processes stand by, because an order of time has
 * only one reader. Rejects with the first defect of `serve`; an outage of PostgreSQL is waited out.
 */
export async function lead(
  db: Db,
  { signal, log }: { signal: AbortSignal; log: Log },
  serve: (term: Term) => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    const id = randomUUID();
    if (await take(db, id, log)) {
      log.info({}, "leading: readings are judged here");
      await serveTerm(db, id, signal, serve);
      if (!signal.aborted) log.warn({}, "another process leads");
    }
    await delay(TICK_MS, undefined, { signal }).catch(() => {});
  }
}

async function take(db: Db, id: string, log: Log): Promise<boolean> {
  try {
    return await takeLease(db, {
      runId: id,
      job: "#alerts",
      fromMs: 0,
      toMs: 1,
      holder: id,
      ttlMs: LEASE_MS,
    });
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    log.debug({ err: error }, "nobody can lead now");
    return false;
  }
}

async function serveTerm(
  db: Db,
  id: string,
  signal: AbortSignal,
  serve: (term: Term) => Promise<void>,
): Promise<void> {
  const lost = new AbortController();
  let renewedMs = performance.now();
  const renew = async () => {
    const askedMs = performance.now();
    const still = await renewLease(db, id, LEASE_MS).catch(() => undefined);
    if (still) renewedMs = askedMs;
    if (still === false || performance.now() - renewedMs > LEASE_MS) lost.abort();
  };
  const timer = setInterval(() => void renew(), LEASE_MS / 4);
  try {
    await serve({ id, signal: AbortSignal.any([signal, lost.signal]), lose: () => lost.abort() });
  } finally {
    clearInterval(timer);
    await dropLease(db, id).catch(() => {});
  }
}
