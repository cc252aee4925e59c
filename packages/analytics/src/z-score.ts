import { type Moments, sampleDeviation } from "./moments.ts";

/** Fewest earlier values that a deviation is judged by. */
export const MIN_HISTORY = 10;

/**
 * How many sample deviations a value lies from the mean of earlier ones. Undefined with fewer than ten of them;
 * where those were all the same, 0 for that same value and infinite for any other.
 */
export function zScore(value: number, history: Moments): number | undefined {
  if (history.n < MIN_HISTORY) return undefined;
  const deviation = sampleDeviation(history);
  if (deviation === undefined) return undefined;
  const distance = value - history.mean;
  if (deviation === 0) return distance === 0 ? 0 : Math.sign(distance) * Infinity;
  return distance / deviation;
}

/** A spike is more than 2.5 deviations away, a high one more than 3.5. */
export function spikeSeverity(z: number): "none" | "spike" | "high" {
  const size = Math.abs(z);
  if (size > 3.5) return "high";
  return size > 2.5 ? "spike" : "none";
}

/** Whether the last `length` values (default 60) are all the same: a sensor that hangs. */
export function isFlatLine(values: readonly number[], length = 60): boolean {
  if (values.length < length) return false;
  const tail = values.slice(-length);
  return tail.every((value) => value === tail[0]);
}
