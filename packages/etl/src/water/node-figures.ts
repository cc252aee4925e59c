import {
  type Anomaly,
  completenessOf,
  counterVolume,
  countOutliers,
  deviationPercent,
  findAnomalies,
  findPressureLimits,
  flowVolumeM3,
  isPressureOut,
  LONGEST_STEP_MS,
  type Moments,
  mergeMoments,
  momentsOf,
  mostSeverePerMinute,
  NO_HISTORY,
  type Point,
  QUALITY_GATES,
  qualityScores,
  type Sample,
  type SeriesHistory,
} from "@sluice/analytics";
import type { DerivedRow, HourMoments, TimeRange, WaterMeasure, WaterNode, WaterReading } from "@sluice/db";
import { round4 } from "../jobs/load.ts";
import type { Window } from "./windows.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Readings are judged by those of so many hours before theirs. */
export const HISTORY_HOURS = 24;
/** Measures of which what stands out is looked for. */
export const JUDGED: readonly WaterMeasure[] = ["flow_rate", "pressure"];
/** Raised when a figure changes its meaning. */
const VERSION = "1.0.0";

/** What was read of a node for a range. */
export interface NodeData {
  readonly node: WaterNode;
  /** From the start of its first window, and what is carried in. */
  readonly readings: readonly WaterReading[];
  /** The hours before it. */
  readonly hours: readonly HourMoments[];
  /** How often it sends. */
  readonly intervalMs: number;
}

/** What comes of a node. */
export interface NodeFigures {
  readonly metrics: DerivedRow[];
  readonly quality: DerivedRow[];
  readonly anomalies: DerivedRow[];
}

/** Computes all windows of a node, and what stands out in `judged`, which begins at a whole hour. */
export function computeNode(data: NodeData, windows: readonly Window[], judged: TimeRange): NodeFigures {
  const series = new Map<WaterMeasure, Sample[]>();
  for (const { measure, atMs, value } of data.readings) {
    const samples = series.get(measure) ?? [];
    series.set(measure, samples);
    samples.push({ atMs, value });
  }
  const anomalies = new Map(
    JUDGED.map((measure) => [measure, judge(data, measure, series.get(measure) ?? [], judged)]),
  );
  const metrics: DerivedRow[] = [];
  const quality: DerivedRow[] = [];
  for (const window of windows) {
    const counted = countWindow(data, series, anomalies, window);
    if (window.kind !== "5min" && counted.sends) quality.push(counted.quality);
    if (counted.actual > 0) metrics.push(metricsRow(data, series, window, counted));
  }
  return {
    metrics,
    quality,
    anomalies: [...anomalies].flatMap(([measure, found]) => found.map(toRow(data, measure))),
  };
}

/** Known values of a series in a range. */
const known = (samples: readonly Sample[] | undefined, range: TimeRange): Point[] =>
  within(samples ?? [], range).flatMap(({ atMs, value }) => (value === null ? [] : [{ atMs, value }]));

/** Judges every reading by those before it: of its own hour, and of the whole hours of the day before. */
function judge(
  { hours }: NodeData,
  measure: WaterMeasure,
  samples: readonly Sample[],
  { fromMs, toMs }: TimeRange,
): Anomaly[] {
  const past = new Map(hours.filter((hour) => hour.measure === measure).map((hour) => [hour.hourMs, hour]));
  const found: Anomaly[] = [];
  let last: Point | undefined = known(samples, { fromMs: Number.NEGATIVE_INFINITY, toMs: fromMs }).at(-1);
  for (let hourMs = fromMs; hourMs < toMs; hourMs += HOUR_MS) {
    const points = known(samples, { fromMs: hourMs, toMs: hourMs + HOUR_MS });
    let history: SeriesHistory = NO_HISTORY;
    for (let back = HISTORY_HOURS; back > 0; back--) {
      const hour = past.get(hourMs - back * HOUR_MS);
      if (hour) {
        const { values, steps } = history;
        history = { values: mergeMoments(values, hour.values), steps: mergeMoments(steps, hour.steps) };
      }
    }
    found.push(...findAnomalies(points, last ? { ...history, last } : history));
    if (measure === "pressure") found.push(...findPressureLimits(points));
    past.set(hourMs, {
      measure,
      hourMs,
      values: momentsOf(points.map(({ value }) => value)),
      steps: stepsOf(points, last),
    });
    last = points.at(-1) ?? last;
  }
  return mostSeverePerMinute(found);
}

function stepsOf(points: readonly Point[], last: Point | undefined): Moments {
  const all = last ? [last, ...points] : points;
  const steps = all.slice(1).flatMap((point, i) => {
    const before = all[i];
    return before && point.atMs - before.atMs <= LONGEST_STEP_MS
      ? [Math.abs(point.value - before.value)]
      : [];
  });
  return momentsOf(steps);
}

/** The part of a series, which is in order of time, that lies in a range. */
const within = <T extends { readonly atMs: number }>(
  series: readonly T[],
  { fromMs, toMs }: TimeRange,
): readonly T[] => series.slice(firstAt(series, fromMs), firstAt(series, toMs));

function firstAt(series: readonly { readonly atMs: number }[], atMs: number): number {
  let low = 0;
  for (let high = series.length; low < high; ) {
    const middle = (low + high) >> 1;
    if ((series[middle]?.atMs ?? 0) < atMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

interface Counted {
  readonly actual: number;
  readonly completenessPercent: number;
  readonly anomalyCount: number;
  readonly overall: number;
  /** The node is one that sends: it had readings in the window or the day before. */
  readonly sends: boolean;
  readonly quality: DerivedRow;
}

function countWindow(
  { node, readings, intervalMs }: NodeData,
  series: ReadonlyMap<WaterMeasure, readonly Sample[]>,
  anomalies: ReadonlyMap<WaterMeasure, readonly Anomaly[]>,
  window: Window,
): Counted {
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

function metricsRow(
  { node, intervalMs }: NodeData,
  series: ReadonlyMap<WaterMeasure, readonly Sample[]>,
  window: Window,
  { actual, completenessPercent, anomalyCount, overall }: Counted,
): DerivedRow {
  const moments = (measure: WaterMeasure) =>
    momentsOf(known(series.get(measure), window).map(({ value }) => value));
  const [flow, pressure, temperature] = [moments("flow_rate"), moments("pressure"), moments("temperature")];
  const said = moments("quality_score");
  const score = said.n > 0 ? Math.min(1, Math.max(0, said.mean)) : overall;
  return {
    node_id: node.node,
    time_window: window.kind,
    window_start: new Date(window.fromMs).toISOString(),
    window_end: new Date(window.toMs).toISOString(),
    ...figures("flow_rate", flow),
    total_volume: round4(volumeOf(series, window, intervalMs)),
    flow_variance: variance(flow),
    ...figures("pressure", pressure),
    pressure_variance: variance(pressure),
    ...figures("temperature", temperature),
    reading_count: actual,
    data_completeness: completenessPercent,
    anomaly_count: anomalyCount,
    quality_score: Number(score.toFixed(2)),
    computation_version: VERSION,
  };
}

/** In m³: the flow integrated over time, or what the meter counted where no flow is known. */
function volumeOf(
  series: ReadonlyMap<WaterMeasure, readonly Sample[]>,
  window: Window,
  intervalMs: number,
): number | undefined {
  const carried = (measure: WaterMeasure) => {
    const samples = series.get(measure) ?? [];
    const first = firstAt(samples, window.fromMs);
    return samples.slice(Math.max(0, first - 1), firstAt(samples, window.toMs));
  };
  const flow = flowVolumeM3(carried("flow_rate"), { fromMs: window.fromMs, toMs: window.toMs, intervalMs });
  return flow ?? counterVolume(carried("volume").flatMap(({ value }) => (value === null ? [] : [value])));
}

/** Mean, least and greatest; rounding may not put the mean outside of them. */
function figures(measure: string, { n, mean, min, max }: Moments): DerivedRow {
  const middle = Math.min(max, Math.max(min, mean));
  return {
    [`avg_${measure}`]: n === 0 ? null : round4(middle),
    [`min_${measure}`]: n === 0 ? null : round4(min),
    [`max_${measure}`]: n === 0 ? null : round4(max),
  };
}

const variance = ({ n, m2 }: Moments) => (n < 2 ? null : round4(m2 / (n - 1)));
const round3 = (value: number) => Number(value.toFixed(3));

const METHODS = {
  z_score: "z_score_24h",
  rate_of_change: "rate_of_change_24h",
  pressure_limit: "limit",
} as const;

const toRow =
  ({ node }: NodeData, measure: WaterMeasure) =>
  (anomaly: Anomaly): DerivedRow => {
    const { atMs, type, severity, actual, expected, z } = anomaly;
    const percent = deviationPercent(anomaly);
    return {
      node_id: node.node,
      measurement_type: measure,
      timestamp: new Date(atMs).toISOString(),
      anomaly_type: type,
      severity,
      actual_value: round4(actual),
      expected_value: round4(expected ?? undefined),
      deviation_percentage: round4(percent ?? undefined),
      detection_method: METHODS[type],
      metadata: z === null ? {} : { z: Number.isFinite(z) ? Number(z.toFixed(2)) : "beyond all bounds" },
    };
  };
