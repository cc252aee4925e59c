import type { TimedValue } from "./alert-rule.ts";

/** What may be doubtful about a reading, after QARTOD's tests of time series. */
export type QualityFlag = "range" | "spike" | "rate" | "flat_line" | "gap";

/** Every flag there is. */
export const QUALITY_FLAGS = ["range", "spike", "rate", "flat_line", "gap"] as const satisfies QualityFlag[];

/** From where on readings of a sensor are doubtful; null: that is not looked at. */
export interface QualityLimits {
  min: number | null;
  max: number | null;
  /** How far a single reading may stand out from the middle of its two neighbours. */
  spike: number | null;
  /** Largest change a minute. */
  ratePerMinute: number | null;
  /** A line is flat after so many equal values in a row … */
  flatCount: number | null;
  /** … that also last this long. */
  flatUs: number;
  /** Longest time between two readings. */
  gapUs: number | null;
}

/** What is remembered of a sensor's readings. Plain JSON. */
export interface QualityState {
  last: TimedValue;
  /** The one before, if no gap lies between. */
  previous: TimedValue | null;
  /** How many equal values in a row the last one ends, and since when. */
  run: { count: number; sinceUs: number };
}

/** A reading with its flags. */
export interface FlaggedTime {
  timeUs: number;
  flag: QualityFlag;
}

const MINUTE_US = 60_000_000;

/**
 * Judges a reading that is newer than those before it. Gives the flags of it, and of the one before: whether that was
 * a spike is known only now.
 */
export function checkQuality(
  limits: QualityLimits,
  before: QualityState | undefined,
  reading: TimedValue,
): { state: QualityState; flags: FlaggedTime[] } {
  const { timeUs, value } = reading;
  const flags: FlaggedTime[] = [];
  const add = (flag: QualityFlag, at = timeUs) => flags.push({ timeUs: at, flag });
  if ((limits.min !== null && value < limits.min) || (limits.max !== null && value > limits.max))
    add("range");
  if (!before) return { state: first(reading), flags };
  const { last, previous } = before;
  const passedUs = timeUs - last.timeUs;
  if (limits.gapUs !== null && passedUs > limits.gapUs) {
    add("gap");
    return { state: first(reading), flags };
  }
  const rate = (Math.abs(value - last.value) * MINUTE_US) / passedUs;
  if (limits.ratePerMinute !== null && rate > limits.ratePerMinute) add("rate");
  if (limits.spike !== null && previous && isSpike(limits.spike, previous.value, last.value, value)) {
    add("spike", last.timeUs);
  }
  const run =
    value === last.value
      ? { count: before.run.count + 1, sinceUs: before.run.sinceUs }
      : { count: 1, sinceUs: timeUs };
  const flat = limits.flatCount !== null && run.count >= limits.flatCount;
  if (flat && timeUs - run.sinceUs >= limits.flatUs) add("flat_line");
  return { state: { last: reading, previous: last, run }, flags };
}

const first = (reading: TimedValue): QualityState => ({
  last: reading,
  previous: null,
  run: { count: 1, sinceUs: reading.timeUs },
});

/** A step up or down is none: a spike stands out from both its neighbours. */
function isSpike(limit: number, a: number, middle: number, b: number): boolean {
  const outside = middle > Math.max(a, b) || middle < Math.min(a, b);
  return outside && Math.abs(middle - (a + b) / 2) > limit;
}
