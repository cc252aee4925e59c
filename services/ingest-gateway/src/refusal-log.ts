import { createLimiter, type Metrics } from "@sluice/service-kit";
import type { Reason } from "@sluice/shared-types";
import type { Log } from "./log.ts";

/** Says what was refused: one count each, and at most one line a minute per reason and sender. */
export interface RefusalLog {
  /** Gives for how many refusals the line stands that was written; 0 where none was. */
  note(reason: Reason, who: string, about: { detail: string } & Record<string, unknown>): number;
}

const QUIET_MS = 60_000;

/** Opens the refusals' counter, `sluice_refused_total{reason}`. */
export function createRefusalLog(metrics: Pick<Metrics, "counter">, log: Log): RefusalLog {
  const counter = metrics.counter("refused_total", "Messages, samples and connections refused", ["reason"]);
  const limiter = createLimiter(QUIET_MS, 10_000);
  return {
    note(reason, who, about) {
      counter.inc({ reason });
      const held = limiter(`${reason} ${who}`, Date.now());
      if (held === undefined) return 0;
      log.warn(
        { reason, who: who.slice(0, 128), ...about, ...(held > 0 ? { heldBack: held } : {}) },
        "refused",
      );
      return held + 1;
    },
  };
}
