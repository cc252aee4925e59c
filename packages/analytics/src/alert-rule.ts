/** What a rule watches for in the readings of a sensor. `device_offline` watches for silence and has no readings. */
export type SensorCondition = "above" | "below" | "out_of_range" | "rate_of_change";

/** A rule as far as readings decide it. Thresholds are in the sensor's unit; a rate is in units a minute. */
export interface SensorRule {
  condition: SensorCondition;
  /** Limit of `above`, `below` and `rate_of_change`. A limit that is null is never passed. */
  threshold: number | null;
  /** Limits of `out_of_range`. */
  min: number | null;
  max: number | null;
  /** How far before the limit it warns already; 0: not at all. */
  warningMargin: number;
  /** How far a value has to come back behind the limit before the condition is over. */
  hysteresis: number;
  /** How long the condition has to hold, in the time of the readings. */
  durationUs: number;
  /** A rate is taken over this long; 0: from one reading to the next. */
  rateWindowUs: number;
}

/** A reading in the time of its device, microseconds since the epoch. */
export interface TimedValue {
  timeUs: number;
  value: number;
}

/** 0: nothing; 1: within the warning margin; 2: beyond the limit. */
export type AlertLevel = 0 | 1 | 2;

/** What a rule remembers of a sensor. Plain JSON. */
export interface RuleState {
  /** Time of the newest reading taken in. */
  timeUs: number;
  /** Since when the margin, and the limit, have been exceeded without a break; null: they are not. */
  since: [number | null, number | null];
  /** Readings that a rate is taken from, oldest first; empty for other conditions. */
  recent: TimedValue[];
}

/** What a reading did. */
export interface RuleStep {
  state: RuleState;
  /** What holds now, for as long as the rule asks. */
  level: AlertLevel;
  /** Whether the condition is over, hysteresis included. */
  over: boolean;
  /** The value, or the rate, that was judged; undefined where there is no rate yet. */
  measure: number | undefined;
}

const RECENT_READINGS = 32;
const MINUTE_US = 60_000_000;

/**
 * Takes a reading in. One that is not newer than those before changes nothing: late, repeated and backfilled readings
 * cannot raise an alarm, or end one. Between two readings a condition is taken to go on.
 */
export function stepRule(rule: SensorRule, before: RuleState | undefined, reading: TimedValue): RuleStep {
  const state: RuleState = before ?? { timeUs: Number.NEGATIVE_INFINITY, since: [null, null], recent: [] };
  if (!(reading.timeUs > state.timeUs)) return conclude(rule, state, undefined);
  const { measure, recent } = measureOf(rule, state.recent, reading);
  const next: RuleState = { timeUs: reading.timeUs, since: state.since, recent };
  if (measure !== undefined) {
    const margins = [rule.warningMargin > 0 ? rule.warningMargin : null, 0];
    next.since = margins.map((margin, i) => {
      const since = state.since[i] ?? null;
      if (margin === null) return null;
      // before it has held for long enough the slack would let values pass for bad that are not
      const slack = holds(rule, since, state.timeUs) ? rule.hysteresis : 0;
      return excess(rule, measure) + margin + slack > 0 ? (since ?? reading.timeUs) : null;
    }) as RuleState["since"];
  }
  return conclude(rule, next, measure);
}

function conclude(rule: SensorRule, state: RuleState, measure: number | undefined): RuleStep {
  const [margin, limit] = state.since;
  const level = holds(rule, limit, state.timeUs) ? 2 : holds(rule, margin, state.timeUs) ? 1 : 0;
  return { state, level, over: margin === null && limit === null, measure };
}

const holds = ({ durationUs }: SensorRule, since: number | null, timeUs: number) =>
  since !== null && timeUs - since >= durationUs;

/** How far beyond the limit a measure is; negative on the good side. */
function excess({ condition, threshold, min, max }: SensorRule, measure: number): number {
  const beyond = (limit: number | null) => (limit === null ? Number.NEGATIVE_INFINITY : measure - limit);
  const short = (limit: number | null) => (limit === null ? Number.NEGATIVE_INFINITY : limit - measure);
  if (condition === "below") return short(threshold);
  return condition === "out_of_range" ? Math.max(short(min), beyond(max)) : beyond(threshold);
}

function measureOf(
  rule: SensorRule,
  recent: readonly TimedValue[],
  reading: TimedValue,
): { measure: number | undefined; recent: TimedValue[] } {
  if (rule.condition !== "rate_of_change") return { measure: reading.value, recent: [] };
  const { rateWindowUs: windowUs } = rule;
  if (windowUs <= 0) return { measure: rateOf(recent.at(-1), reading), recent: [reading] };
  const kept = recent.filter(({ timeUs }) => reading.timeUs - timeUs <= windowUs);
  const first = kept[0];
  // over a small part of the window noise would look like a rate
  const measure = first && reading.timeUs - first.timeUs >= windowUs / 2 ? rateOf(first, reading) : undefined;
  const last = kept.at(-1);
  const spaced = !last || reading.timeUs - last.timeUs >= windowUs / RECENT_READINGS;
  return { measure, recent: spaced ? [...kept, reading] : kept };
}

/** Change a minute, whatever its direction. */
function rateOf(from: TimedValue | undefined, to: TimedValue): number | undefined {
  if (!from) return undefined;
  return (Math.abs(to.value - from.value) * MINUTE_US) / (to.timeUs - from.timeUs);
}

/** The limit that a measure is judged by: of a range the nearer one. */
export function limitOf({ condition, threshold, min, max }: SensorRule, measure: number): number | null {
  if (condition !== "out_of_range") return threshold;
  if (min === null || max === null) return min ?? max;
  return Math.abs(measure - min) < Math.abs(measure - max) ? min : max;
}
