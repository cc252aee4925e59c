import { siteDays } from "@sluice/analytics";
import { type Db, learnSampleIntervals, moveRollupMark, repairRollups, rollForward } from "@sluice/db";

/** How long after a bucket its readings may still be on their way before it is rolled up; later ones repair it. */
export const SETTLE_MS = 30_000;

/** What {@link advanceRollups} did. */
export interface RollupResult {
  /** 5-minute rows written. */
  forward: number;
  repaired: number;
}

/** Brings the rollups up to now: new buckets first, then everything that is marked. Stops between steps on `signal`. */
export async function advanceRollups(db: Db, nowMs: number, signal?: AbortSignal): Promise<RollupResult> {
  await moveRollupMark(db, nowMs - SETTLE_MS);
  const result = { forward: 0, repaired: 0 };
  for (let more = true; more && !signal?.aborted; ) {
    const step = await rollForward(db, siteDays);
    result.forward += step.rows;
    more = step.more;
  }
  await learnSampleIntervals(db, nowMs);
  for (let more = true; more && !signal?.aborted; ) {
    const step = await repairRollups(db, siteDays);
    result.repaired += step.rows;
    more = step.more;
  }
  return result;
}
