import { cutStretches, type Held } from "./stretches.ts";
import type { Sample } from "./time-weighted.ts";

const HOUR_MS = 3_600_000;

/** What a sensor showed in an hour. Mean and deviation are weighted by how long each value held. */
export interface HourStatistics {
  readonly min: number;
  readonly mean: number;
  readonly max: number;
  readonly deviation: number;
  /** Readings in this hour; 0 where a value from before held all through it. */
  readonly readings: number;
}

interface Sums {
  weight: number;
  mean: number;
  m2: number;
  min: number;
  max: number;
  readings: number;
}

/**
 * Statistics by the start of the hour, of the values that `held` and of the `readings` that they came from. A reading
 * that held for no time counts, and makes minimum and maximum, but weighs nothing beside those that did.
 * Mean and variance by West's update (Comm. ACM 22, 1979), so that nothing cancels.
 */
export function statisticsByHour(
  held: readonly Held[],
  readings: readonly Sample[],
): Map<number, HourStatistics> {
  const hours = new Map<number, Sums>();
  for (const { fromMs, toMs, value } of cutStretches(held, HOUR_MS)) {
    const sums = hourOf(hours, fromMs);
    const weight = toMs - fromMs;
    sums.weight += weight;
    const delta = value - sums.mean;
    sums.mean += delta * (weight / sums.weight); // in this order the mean of one value is that value
    sums.m2 += weight * delta * (value - sums.mean);
    extend(sums, value);
  }
  for (const { atMs, value } of readings) {
    if (value === null) continue;
    const sums = hourOf(hours, atMs);
    sums.readings++;
    extend(sums, value);
    if (sums.weight === 0) sums.mean += (value - sums.mean) / sums.readings;
  }
  return new Map([...hours].sort(([a], [b]) => a - b).map(([hourMs, sums]) => [hourMs, statisticsOf(sums)]));
}

function hourOf(hours: Map<number, Sums>, atMs: number): Sums {
  const hourMs = Math.floor(atMs / HOUR_MS) * HOUR_MS;
  let sums = hours.get(hourMs);
  if (!sums) {
    sums = { weight: 0, mean: 0, m2: 0, min: Infinity, max: -Infinity, readings: 0 };
    hours.set(hourMs, sums);
  }
  return sums;
}

function extend(sums: Sums, value: number): void {
  if (value < sums.min) sums.min = value;
  if (value > sums.max) sums.max = value;
}

const statisticsOf = ({ weight, mean, m2, min, max, readings }: Sums): HourStatistics => ({
  min,
  mean,
  max,
  deviation: weight === 0 ? 0 : Math.sqrt(Math.max(0, m2) / weight),
  readings,
});
