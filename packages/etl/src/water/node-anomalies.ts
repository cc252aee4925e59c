import {
  type Anomaly,
  deviationPercent,
  findAnomalies,
  findPressureLimits,
  LONGEST_STEP_MS,
  type Moments,
  mergeMoments,
  momentsOf,
  mostSeverePerMinute,
  NO_HISTORY,
  type Point,
  type Sample,
  type SeriesHistory,
} from "@sluice/analytics";
import type { DerivedRow, TimeRange, WaterMeasure, WaterNode } from "@sluice/db";
import { round4 } from "../jobs/load.ts";
import { known, type NodeData } from "./series.ts";
import { WINDOW_MS } from "./windows.ts";

const HOUR_MS = WINDOW_MS["1hour"];
/** Readings are judged by those of so many hours before theirs. */
export const HISTORY_HOURS = 24;
/** Measures of which what stands out is looked for. */
export const JUDGED: readonly WaterMeasure[] = ["flow_rate", "pressure"];

/**
 * Judges every reading of a range, which begins at a whole hour, by those before it: of its own hour, and of the whole
 * hours of the day before.
 */
export function judgeSeries(
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

const METHODS = {
  z_score: "z_score_24h",
  rate_of_change: "rate_of_change_24h",
  pressure_limit: "limit",
} as const;

/** Anomalies of a measure of a node as rows. */
export const toAnomalyRow =
  ({ node }: WaterNode, measure: WaterMeasure) =>
  (anomaly: Anomaly): DerivedRow => {
    const { atMs, type, severity, actual, expected, z } = anomaly;
    const percent = deviationPercent(anomaly);
    return {
      node_id: node,
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
