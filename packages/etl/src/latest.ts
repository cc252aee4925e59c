import { findRollupProgress, reapRuns } from "@sluice/db";
import { advanceRollups } from "./advance-rollups.ts";
import type { Engine } from "./engine.ts";

/** Brings the rollups up to now and gives an engine whose clock ends where they do: what is not rolled up is not over. */
export async function afterRollups(engine: Engine): Promise<Engine> {
  await reapRuns(engine.db);
  await advanceRollups(engine.db, engine.now(), engine.signal);
  const { doneMs } = await findRollupProgress(engine.db);
  const nowMs = Math.min(engine.now(), doneMs ?? 0);
  return { ...engine, now: () => nowMs };
}
