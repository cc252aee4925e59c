import type { ConsumeOptions } from "@sluice/bus";
import { OutageError, type Resource } from "@sluice/shared-types";

/** Longer than a retry takes after a deadlock or a connection that was cut. */
const PATIENCE_MS = 1_000;

/**
 * Readiness from the work itself: a PostgreSQL on a full disk, or one that went read-only, answers every ping and
 * stores nothing. `ping` rejects while nothing could be stored for a second.
 */
export function watchStoring(): Resource & {
  watch(handle: ConsumeOptions["handle"]): ConsumeOptions["handle"];
} {
  let failure: { sinceMs: number; error: OutageError } | undefined;
  return {
    watch: (handle) => async (entries) => {
      try {
        const outcomes = await handle(entries);
        failure = undefined;
        return outcomes;
      } catch (error) {
        if (error instanceof OutageError) failure = { sinceMs: failure?.sinceMs ?? performance.now(), error };
        throw error;
      }
    },
    ping: async () => {
      if (failure && performance.now() - failure.sinceMs > PATIENCE_MS) throw failure.error;
    },
    close: async () => {},
  };
}
