import { type AlertLevel, type SensorRule, stepRule, type TimedValue } from "./alert-rule.ts";

/** An alert that a rule would have raised. */
export interface Episode {
  /** Since when the condition held, and when it had held for long enough. */
  sinceUs: number;
  raisedUs: number;
  /** When it was over; null: it still held at the last reading. */
  endUs: number | null;
  /** The highest level it came to. */
  level: Exclude<AlertLevel, 0>;
  /** The worst value or rate in it. */
  peak: number;
}

/** What a rule would have said of readings in order of time, such as those of the last month. */
export function previewRule(rule: SensorRule, readings: Iterable<TimedValue>): Episode[] {
  const episodes: Episode[] = [];
  let state: Parameters<typeof stepRule>[1];
  let open: Episode | undefined;
  let worst = Number.NaN;
  const worse = (a: number, b: number) => (Number.isNaN(a) || distance(rule, b) > distance(rule, a) ? b : a);
  for (const reading of readings) {
    const step = stepRule(rule, state, reading);
    state = step.state;
    if (step.over) {
      if (open) open.endUs = reading.timeUs;
      open = undefined;
      worst = Number.NaN;
      continue;
    }
    if (step.measure !== undefined) worst = worse(worst, step.measure);
    if (!open && step.level > 0) {
      const sinceUs = Math.min(...state.since.filter((since) => since !== null));
      open = { sinceUs, raisedUs: reading.timeUs, endUs: null, level: 1, peak: worst };
      episodes.push(open);
    }
    if (open) {
      open.level = Math.max(open.level, step.level) as Episode["level"];
      open.peak = worst;
    }
  }
  return episodes;
}

/** How bad a measure is: larger is worse. */
function distance(rule: SensorRule, measure: number): number {
  if (rule.condition === "below") return -measure;
  if (rule.condition === "out_of_range") return Math.abs(measure - ((rule.min ?? 0) + (rule.max ?? 0)) / 2);
  return measure;
}
