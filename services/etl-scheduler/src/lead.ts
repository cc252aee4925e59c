import { setTimeout as delay } from "node:timers/promises";
import { dropLease, renewLease, takeLease } from "@sluice/db";
import type { Engine } from "@sluice/etl";
import { OutageError } from "@sluice/shared-types";

const LEADER = { job: "#leader", fromMs: 0, toMs: 1 };
const TICK_MS = 1000;
/** How long others wait for a leader that was killed. */
const LEASE_MS = 10_000;

/** Something the leader does when it is due. */
export interface Task {
  readonly name: string;
  /** Whether it is due; asked about once a second. */
  due(nowMs: number): boolean;
  run(engine: Engine): Promise<void>;
}

/**
 * Does tasks when they are due, one after the other, while this instance leads; another one takes over within the
 * length of a lease when it is gone. Resolves when the engine is stopped. An outage is waited out.
 */
export async function lead(engine: Engine, tasks: readonly Task[]): Promise<void> {
  const { db, holder: runId, signal, log } = engine;
  const ttlMs = LEASE_MS;
  let leading = false;
  const keepLeading = setInterval(() => {
    if (leading) renewLease(db, runId, ttlMs).catch(() => {}); // looked at again before the next task
  }, ttlMs / 3);
  try {
    while (!signal.aborted) {
      try {
        const still: boolean = leading && (await renewLease(db, runId, ttlMs));
        const now: boolean = still || (await takeLease(db, { ...LEADER, runId, holder: runId, ttlMs }));
        if (now !== leading) log.info({}, now ? "leading" : "another instance leads");
        leading = now;
        for (const task of leading ? tasks : []) {
          if (task.due(engine.now()) && !signal.aborted) await task.run(engine);
        }
      } catch (error) {
        if (!(error instanceof OutageError)) throw error;
        log.warn({ err: error }, "waiting for postgres");
      }
      await delay(TICK_MS, undefined, { signal }).catch(() => {});
    }
  } finally {
    clearInterval(keepLeading);
    if (leading) await dropLease(db, runId).catch(() => {});
  }
}
