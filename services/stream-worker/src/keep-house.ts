import { setTimeout as delay } from "node:timers/promises";
import { countSequenceGaps, type Db, type Log, purgeConnectionRefusals, purgeQuarantine } from "@sluice/db";
import type { Metrics } from "@sluice/service-kit";
import { OutageError } from "@sluice/shared-types";

/** Bounds of quarantine. */
export interface HouseOptions {
  quarantineDays: number;
  quarantineMaxBytes: number;
  signal: AbortSignal;
  log: Log;
}

const EVERY_MS = 60_000;

/**
 * Once a minute until the signal: holds quarantine and refused connections to their bounds, and counts what is missing
 * in the devices' sequence numbers. Several workers may do it; it comes to the same.
 */
export async function keepHouse(db: Db, metrics: Metrics, options: HouseOptions): Promise<void> {
  const { quarantineDays: days, quarantineMaxBytes: maxBytes, signal, log } = options;
  const purged = metrics.counter("quarantine_purged_total", "Refusals that quarantine has forgotten", [
    "why",
  ]);
  const gaps = metrics.gauge(
    "sequence_gaps",
    "Gaps in the sequence numbers of devices heard of in the last day",
  );
  const missing = metrics.gauge("sequence_missing", "Messages missing in those gaps");
  while (!signal.aborted) {
    try {
      const gone = await purgeQuarantine(db, { days, maxBytes });
      if (gone.old + gone.excess > 0)
        log.warn(gone, "quarantine has reached its bounds: the oldest are forgotten");
      purged.inc({ why: "age" }, gone.old);
      purged.inc({ why: "size" }, gone.excess);
      await purgeConnectionRefusals(db);
      const count = await countSequenceGaps(db);
      gaps.set(count.gaps);
      missing.set(count.missing);
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
    }
    await delay(EVERY_MS, undefined, { signal }).catch(() => {});
  }
}
