import { type Moments, mergeMoments, momentsOf, NO_MOMENTS } from "./moments.ts";
import { PRESSURE_LIMITS } from "./water-window.ts";
import { MIN_HISTORY, zScore } from "./z-score.ts";

/** Severity as the table names it; the formula's medium, high and critical, in this order. */
export type AnomalySeverity = "info" | "warning" | "critical";

/** A reading that stands out. */
export interface Anomaly {
  readonly atMs: number;
  readonly type: "z_score" | "rate_of_change" | "pressure_limit";
  readonly severity: AnomalySeverity;
  readonly actual: number;
  /** What the readings before make likely; the limit that was passed; null where nothing does. */
  readonly expected: number | null;
  /** How many deviations away; null for a limit. Infinite where the readings before never changed. */
  readonly z: number | null;
}

/** A known value of a series. */
export interface Point {
  readonly atMs: number;
  readonly value: number;
}

/** What is known of a series before the points that are judged: of its values, and of its steps in absolute value. */
export interface SeriesHistory {
  readonly values: Moments;
  readonly steps: Moments;
  readonly last?: Point | undefined;
}

/** A reading that comes later than this after the one before is no step from it. */
export const LONGEST_STEP_MS = 2 * 3_600_000;

/** Nothing is known. */
export const NO_HISTORY: SeriesHistory = { values: NO_MOMENTS, steps: NO_MOMENTS };

/** Severity of a z-score: from 4 critical, from 3 high, from 2.5 medium; undefined below. */
export function zSeverity(z: number): AnomalySeverity | undefined {
  const size = Math.abs(z);
  if (size >= 4) return "critical";
  if (size >= 3) return "warning";
  return size >= 2.5 ? "info" : undefined;
}

/** Severity of the z-score of a step: above 3 high, above 2 medium; undefined below. */
export function stepSeverity(z: number): AnomalySeverity | undefined {
  if (z > 3) return "warning";
  return z > 2 ? "info" : undefined;
}

/**
 * What stands out in a series, judged by the readings before each point: its distance from their mean (z-score, with ten
 * of them or more) and the size of its step among theirs (rate of change). Points must be in order of time.
 */
export function findAnomalies(points: readonly Point[], history: SeriesHistory = NO_HISTORY): Anomaly[] {
  const found: Anomaly[] = [];
  let { values, steps, last } = history;
  for (const point of points) {
    const { atMs, value } = point;
    const z = zScore(value, widened(values));
    const severity = z === undefined ? undefined : zSeverity(z);
    if (z !== undefined && severity)
      found.push({ atMs, type: "z_score", severity, actual: value, expected: values.mean, z });
    if (last !== undefined && atMs - last.atMs <= LONGEST_STEP_MS) {
      const step = Math.abs(value - last.value);
      const stepZ = steps.n < MIN_HISTORY ? undefined : zScore(step, widened(steps, values.mean));
      const changed = stepZ === undefined ? undefined : stepSeverity(stepZ);
      if (stepZ !== undefined && changed)
        found.push({
          atMs,
          type: "rate_of_change",
          severity: changed,
          actual: value,
          expected: last.value,
          z: stepZ,
        });
      steps = mergeMoments(steps, momentsOf([step]));
    }
    values = mergeMoments(values, momentsOf([value]));
    last = point;
  }
  return found;
}

/** Pressures outside the limits of a network: always critical. */
export function findPressureLimits(points: readonly Point[]): Anomaly[] {
  return points.flatMap(({ atMs, value }) => {
    const { min, max } = PRESSURE_LIMITS;
    if (value >= min && value <= max) return [];
    return [
      {
        atMs,
        type: "pressure_limit",
        severity: "critical",
        actual: value,
        expected: value < min ? min : max,
        z: null,
      },
    ];
  });
}

const RANK: Record<AnomalySeverity, number> = { info: 0, warning: 1, critical: 2 };
const MINUTE_MS = 60_000;

/** One anomaly per minute: the most severe stays, of equals the first. */
export function mostSeverePerMinute(anomalies: readonly Anomaly[]): Anomaly[] {
  const kept = new Map<number, Anomaly>();
  for (const anomaly of anomalies) {
    const minute = Math.floor(anomaly.atMs / MINUTE_MS);
    const before = kept.get(minute);
    if (!before || RANK[anomaly.severity] > RANK[before.severity]) kept.set(minute, anomaly);
  }
  return [...kept.values()].sort((a, b) => a.atMs - b.atMs);
}

/** How far an anomaly is from what was expected, in % of that; null where nothing, or nothing but zero, was. */
export function deviationPercent({ actual, expected }: Anomaly): number | null {
  return expected === null || expected === 0 ? null : ((actual - expected) / Math.abs(expected)) * 100;
}

/** A sensor that never moved has its resolution as noise: a deviation is taken to be at least 1 % of the level. */
function widened(moments: Moments, level = moments.mean): Moments {
  const least = (0.01 * level) ** 2 * Math.max(0, moments.n - 1);
  return moments.m2 >= least ? moments : { ...moments, m2: least };
}
