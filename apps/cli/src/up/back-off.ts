const FIRST_MS = 100;
const MOST_MS = 10_000;
const STEADY_MS = 30_000;

/** Waiting times between restarts: doubling up to 10 s, short again after 30 s of good running. */
export interface BackOff {
  /** How long to wait after a run of this length. */
  next(ranForMs: number): number;
}

/** Creates the waiting times of one process. */
export function createBackOff(): BackOff {
  let failures = 0;
  return {
    next(ranForMs) {
      if (ranForMs >= STEADY_MS) failures = 0;
      return Math.min(FIRST_MS * 2 ** failures++, MOST_MS);
    },
  };
}
