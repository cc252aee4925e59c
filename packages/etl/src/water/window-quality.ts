import {
  type Anomaly,
  completenessOf,
  countOutliers,
  isPressureOut,
  QUALITY_GATES,
  qualityScores,
} from "@sluice/analytics";
import type { DerivedRow, WaterMeasure, WaterNode, WaterReading } from "@sluice/db";
import { firstAt, known, type NodeData, type NodeSeries, within } from "./series.ts";
import { WINDOW_MS, type Window } from "./windows.ts";

const DAY_MS = WINDOW_MS["1day"];

/** What a window of a node has, and how good that is. */
export interface CountedWindow {
  readonly actual: number;
  readonly completenessPercent: number;
  readonly anomalyCount: number;
  readonly overall: number;
  /** The node is one that sends: it had readings in the window or the day before. */
  readonly sends: boolean;
  readonly quality: DerivedRow;
}

/** Counts what a window has, what is missing and what is wrong with it. */
export function countWindow(
  { node, readings, intervalMs }: NodeData,
  series: NodeSeries,
  anomalies: ReadonlyMap<WaterMeasure, readonly Anomaly[]>,
  window: Window,
): CountedWindow {
  const own = within(readings, window);
  const lastMs = readings[firstAt(readings, window.toMs) - 1]?.atMs ?? Number.NEGATIVE_INFINITY;
  const counts = new Map<WaterMeasure, number>();
  for (const { measure, value } of own) {
    if (value !== null) counts.set(measure, (counts.get(measure) ?? 0) + 1);
  }
  const actual = Math.max(0, ...counts.values());
  const invalid = own.filter((reading) => !isValid(node, reading)).length;
  const { expected, percent } = completenessOf(actual, window.toMs - window.fromMs, intervalMs);
  const jumps = [...anomalies.values()]
    .flatMap((found) => within(found, window))
    .filter(({ type, severity }) => type === "rate_of_change" && severity !== "info").length;
  const meter = known(series.get("volume"), window);
  const falls = meter.filter(({ value }, i) => value < (meter[i - 1]?.value ?? value)).length;
  const steps = [...counts.values()].reduce((sum, n) => sum + Math.max(0, n - 1), 0);
  const scores = qualityScores({
    expected,
    actual,
    values: own.length,
    invalid,
    steps,
    implausible: Math.min(steps, jumps + falls),
  });
  const flows = known(series.get("flow_rate"), window).map(({ value }) => value);
  const pressures = known(series.get("pressure"), window);
  const anomalyCount = countOutliers(flows) + pressures.filter(({ value }) => isPressureOut(value)).length;
  const missing = Math.max(0, expected - actual);
  const at = new Date(window.toMs).toISOString();
  return {
    actual,
    completenessPercent: Number(percent.toFixed(2)),
    anomalyCount,
    overall: scores.overall,
    sends: lastMs >= window.fromMs - DAY_MS,
    quality: {
      node_id: node.node,
      check_timestamp: at,
      time_window: window.kind,
      completeness_score: round3(scores.completeness),
      validity_score: round3(scores.validity),
      consistency_score: round3(scores.consistency),
      overall_quality_score: round3(scores.overall),
      missing_data_points: missing,
      invalid_values: invalid,
      outliers_detected: anomalyCount,
      quality_issues: issuesOf({ missing, expected, invalid, jumps, falls, overall: scores.overall, at }),
    },
  };
}

function isValid(node: WaterNode, { measure, value }: WaterReading): boolean {
  const { min = null, max = null } = node.sensors[measure] ?? {};
  const usual = USUAL_RANGE[measure];
  return value !== null && value >= (min ?? usual.min) && value <= (max ?? usual.max);
}

/** What a sensor may say where no sensor type says so. */
const USUAL_RANGE: Readonly<Record<WaterMeasure, { min: number; max: number }>> = {
  flow_rate: { min: 0, max: 10_000 },
  pressure: { min: 0, max: 20 },
  temperature: { min: -10, max: 50 },
  volume: { min: 0, max: Number.POSITIVE_INFINITY },
  quality_score: { min: 0, max: 1 },
};

interface Found {
  missing: number;
  expected: number;
  invalid: number;
  jumps: number;
  falls: number;
  overall: number;
  at: string;
}

function issuesOf({ missing, expected, invalid, jumps, falls, overall, at: timestamp }: Found): object[] {
  const grave = overall < QUALITY_GATES.reject;
  const severity = grave ? "critical" : overall < QUALITY_GATES.warn ? "warning" : "info";
  const issue = (type: string, n: number, description: string) =>
    n > 0 ? [{ type, severity, description, timestamp }] : [];
  return [
    ...issue("missing_data", missing, `${missing} of ${expected} readings are missing`),
    ...issue("invalid_values", invalid, `${invalid} values are errors or out of the sensor's range`),
    ...issue("implausible_steps", jumps, `${jumps} jumps are beyond three deviations of those before`),
    ...issue("counter_fell", falls, `the volume counter fell ${falls} times`),
  ];
}

const round3 = (value: number) => Number(value.toFixed(3));
