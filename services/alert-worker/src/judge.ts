import {
  type AlertLevel,
  checkQuality,
  limitOf,
  type QualityFlag,
  type QualityState,
  type RuleState,
  stepRule,
} from "@sluice/analytics";
import type { EndedAlert, RaisedAlert, Severity } from "@sluice/db";
import type { KnownDevice, ReadingRule, Watch } from "./rule-book.ts";

/** What is remembered of a sensor between its readings. Plain JSON. */
export interface SensorState {
  /** By rule: its version, its state, and the level that was raised. */
  rules: Record<string, { version: number; state: RuleState; raised: AlertLevel }>;
  /** Of the newest readings. */
  quality: QualityState | null;
  /** Of a run of readings that came late, such as a backfill: they are checked against one another. */
  late: QualityState | null;
}

/** A reading as it is judged. */
export interface JudgedReading {
  /** The time it is stored under. */
  timeUs: number;
  /** The same, but never ahead of the server's clock: a device whose clock runs ahead does not stop the rules. */
  ruleTimeUs: number;
  /** Calibrated. */
  value: number;
  /** Neither imported, nor replayed, nor a correction: rules look at nothing else. */
  live: boolean;
  /** Young enough to raise an alert. */
  current: boolean;
  /** Replaces what is stored under its time. */
  correction: boolean;
}

/** What a reading changes. */
export type Change =
  | { kind: "raise" | "promote"; alert: RaisedAlert }
  | { kind: "end"; alert: EndedAlert }
  | { kind: "flag"; sensorId: number; timeUs: number; flag: QualityFlag }
  | { kind: "replaced"; sensorId: number; timeUs: number }
  | { kind: "late"; sensorId: number; timeUs: number; gapUs: number };

/** Nothing is remembered yet. */
export const BLANK: SensorState = { rules: {}, quality: null, late: null };

/** Takes a reading in: what is remembered from now on, and what it changes. Pure. */
export function judge(
  device: KnownDevice,
  watch: Watch,
  before: SensorState,
  reading: JudgedReading,
): { state: SensorState; changes: Change[] } {
  const changes: Change[] = [];
  const rules: SensorState["rules"] = {};
  for (const rule of watch.rules) {
    const known = before.rules[rule.id];
    const own = known?.version === rule.version ? known : undefined;
    const next = reading.live ? judgeByRule(device, watch, rule, own, reading, changes) : own;
    if (next) rules[rule.id] = next;
  }
  const quality = judgeQuality(watch, before, reading, changes);
  return { state: { rules, ...quality }, changes };
}

type RuleMemory = SensorState["rules"][string];

function judgeByRule(
  device: KnownDevice,
  watch: Watch,
  rule: ReadingRule,
  before: RuleMemory | undefined,
  { ruleTimeUs: timeUs, value, current }: JudgedReading,
  changes: Change[],
): RuleMemory {
  const { state, level, over, measure } = stepRule(rule, before?.state, { timeUs, value });
  const raised = before?.raised ?? 0;
  const next = { version: rule.version, state, raised };
  if (measure === undefined) return next;
  if (over && raised > 0) {
    changes.push({ kind: "end", alert: { ruleId: rule.id, sensorId: watch.sensor.id, endedUs: timeUs } });
    return { ...next, raised: 0 };
  }
  if (level === 0 || level <= raised || !current) return next;
  const alert = toAlert(device, watch, rule, level, state, measure);
  changes.push({ kind: raised === 0 ? "raise" : "promote", alert });
  return { ...next, raised: level };
}

function toAlert(
  device: KnownDevice,
  { sensor }: Watch,
  rule: ReadingRule,
  level: 1 | 2,
  state: RuleState,
  measure: number,
): RaisedAlert {
  const threshold = limitOf(rule, measure);
  const sinceUs = state.since[level === 2 ? 1 : 0] ?? state.timeUs;
  const unit = `${sensor.unit ? ` ${sensor.unit}` : ""}${rule.condition === "rate_of_change" ? " a minute" : ""}`;
  const what = rule.condition === "rate_of_change" ? `${sensor.code} changes by` : `${sensor.code} is`;
  const short = (x: number | null) => (x === null ? "?" : String(Number(x.toPrecision(6))));
  const side = threshold !== null && measure > threshold ? "above" : "below";
  const where =
    level === 2
      ? `${side} the limit of ${short(threshold)}${unit}`
      : `close to the limit of ${short(threshold)}${unit}`;
  return {
    ruleId: rule.id,
    version: rule.version,
    deviceId: device.id,
    sensorId: sensor.id,
    level,
    severity: level === 2 ? rule.severity : preventive(rule.severity),
    triggeredUs: state.timeUs,
    sinceUs,
    value: measure,
    threshold,
    title: `${rule.name}: ${sensor.code} of ${device.code} is ${level === 2 ? side : "close to"} ${short(threshold)}${unit}`,
    message: `On ${device.code} ${what} ${short(measure)}${unit}, ${where}, since ${new Date(sinceUs / 1000).toISOString()}.`,
  };
}

/** A warning before the limit is less than what is said beyond it. */
const preventive = (severity: Severity): Severity =>
  severity === "critical" || severity === "emergency" ? "warning" : "info";

function judgeQuality(
  { sensor, limits }: Watch,
  before: SensorState,
  reading: JudgedReading,
  changes: Change[],
): Pick<SensorState, "quality" | "late"> {
  const { quality, late } = before;
  if (limits === null) return { quality: null, late: null };
  const { id: sensorId } = sensor;
  const { timeUs, value } = reading;
  const flag = (flags: readonly { timeUs: number; flag: QualityFlag }[]) => {
    for (const one of flags) changes.push({ kind: "flag", sensorId, ...one });
  };
  if (reading.correction) {
    changes.push({ kind: "replaced", sensorId, timeUs });
    flag(checkQuality(limits, undefined, reading).flags);
    return { quality, late };
  }
  if (!quality || timeUs > quality.last.timeUs) {
    const { state, flags } = checkQuality(limits, quality ?? undefined, { timeUs, value });
    flag(flags);
    return { quality: state, late };
  }
  if (timeUs === quality.last.timeUs || timeUs === late?.last.timeUs) return { quality, late };
  if (limits.gapUs !== null) changes.push({ kind: "late", sensorId, timeUs, gapUs: limits.gapUs });
  const inOrder = late !== null && timeUs > late.last.timeUs;
  const { state, flags } = checkQuality(limits, inOrder ? late : undefined, { timeUs, value });
  // between two late readings there may be others that came in time
  flag(flags.filter((one) => one.flag !== "gap"));
  return { quality, late: state };
}
