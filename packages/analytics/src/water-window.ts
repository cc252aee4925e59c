import { type Moments, momentsOf, sampleDeviation } from "./moments.ts";
import { integrateSteps, type Sample } from "./time-weighted.ts";

/** What a node is taken to send where nothing could be learned: a reading every half an hour. */
export const USUAL_INTERVAL_MS = 1_800_000;
/** A flow is taken to last for so many intervals after its reading; what is missing longer counts nothing. */
const HELD_INTERVALS = 2;
/** Pressure in bar that a network should have. */
export const PRESSURE_LIMITS = { min: 2, max: 8 } as const;

/** How often a node sends: the median distance of its readings. Undefined with fewer than four readings. */
export function learnIntervalMs(timesMs: readonly number[]): number | undefined {
  const sorted = [...new Set(timesMs)].sort((a, b) => a - b);
  if (sorted.length < 4) return undefined;
  const gaps = sorted.slice(1).map((timeMs, i) => timeMs - (sorted[i] ?? 0));
  gaps.sort((a, b) => a - b);
  return gaps[Math.floor(gaps.length / 2)];
}

/** How many readings a window should have, at least one, and how many of them it has in %, never above 100. */
export function completenessOf(
  actual: number,
  windowMs: number,
  intervalMs: number,
): { expected: number; percent: number } {
  const expected = Math.max(1, Math.round(windowMs / intervalMs));
  return { expected, percent: Math.min(100, (actual / expected) * 100) };
}

/**
 * Volume in m³ of a flow in L/s over [fromMs, toMs), integrated as steps. The sample before `fromMs` is carried in; a
 * value lasts two intervals at most. Undefined where no flow was known at all.
 */
export function flowVolumeM3(
  samples: readonly Sample[],
  { fromMs, toMs, intervalMs }: { fromMs: number; toMs: number; intervalMs: number },
): number | undefined {
  const held = integrateSteps(samples, { fromMs, toMs, maxHoldMs: HELD_INTERVALS * intervalMs });
  return held.knownMs === 0 ? undefined : held.integral / 1_000_000;
}

/**
 * Volume that a meter counted: the sum of what it rose above its highest reading so far. A meter that falls to less
 * than half is a new one, or was reset, and counts on from there; a smaller fall is noise. Undefined for fewer than two
 * readings.
 */
export function counterVolume(values: readonly number[]): number | undefined {
  const [first, ...rest] = values;
  if (first === undefined || rest.length === 0) return undefined;
  let highest = first;
  let volume = 0;
  for (const value of rest) {
    if (value < highest / 2) highest = value;
    volume += Math.max(0, value - highest);
    highest = Math.max(highest, value);
  }
  return volume;
}

/** How many values lie outside the mean of all of them by more than three sample deviations. */
export function countOutliers(values: readonly number[], moments: Moments = momentsOf(values)): number {
  const limit = 3 * (sampleDeviation(moments) ?? 0);
  if (limit === 0) return 0;
  return values.filter((value) => Math.abs(value - moments.mean) > limit).length;
}

/** Whether a pressure in bar is outside {@link PRESSURE_LIMITS}. */
export const isPressureOut = (bar: number): boolean => bar < PRESSURE_LIMITS.min || bar > PRESSURE_LIMITS.max;

/** Zone of a pressure in bar: from 3.0 optimal, from 2.5 a warning, below critical. */
export function pressureZone(bar: number): "optimal" | "warning" | "critical" {
  if (bar >= 3) return "optimal";
  return bar >= 2.5 ? "warning" : "critical";
}
