/** What was counted of a node's readings in a window. */
export interface QualityCounts {
  /** Readings that there should be, and instants that have one. */
  readonly expected: number;
  readonly actual: number;
  /** Values that were sent, and those of them that are outside what the sensor can measure, or were errors. */
  readonly values: number;
  readonly invalid: number;
  /** Steps from a reading to the next, and those that cannot be: a counter that falls, a jump beyond three deviations. */
  readonly steps: number;
  readonly implausible: number;
}

/** Scores from 0 to 1. */
export interface QualityScores {
  readonly completeness: number;
  readonly validity: number;
  readonly consistency: number;
  /** Mean of the three. */
  readonly overall: number;
}

/** Overall scores below these are worth a warning, or not to be used. */
export const QUALITY_GATES = { warn: 0.8, reject: 0.5 } as const;

/** Scores of a window. Without a single value there is nothing valid or consistent: all are 0. */
export function qualityScores(counts: QualityCounts): QualityScores {
  const share = (bad: number, all: number) => (all === 0 ? 0 : 1 - bad / all);
  if (counts.values === 0) return { completeness: 0, validity: 0, consistency: 0, overall: 0 };
  const completeness = Math.min(1, counts.actual / Math.max(1, counts.expected));
  const validity = share(counts.invalid, counts.values);
  const consistency = counts.steps === 0 ? 1 : share(counts.implausible, counts.steps);
  return { completeness, validity, consistency, overall: (completeness + validity + consistency) / 3 };
}
