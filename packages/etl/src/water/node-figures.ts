import { counterVolume, flowVolumeM3, type Moments, momentsOf, type Sample } from "@sluice/analytics";
import type { DerivedRow, TimeRange, WaterMeasure } from "@sluice/db";
import { round4 } from "../jobs/load.ts";
import { JUDGED, judgeSeries, toAnomalyRow } from "./node-anomalies.ts";
import { firstAt, known, type NodeData, type NodeSeries } from "./series.ts";
import { type CountedWindow, countWindow } from "./window-quality.ts";
import type { Window } from "./windows.ts";

/** Raised when a figure changes its meaning. */
const VERSION = "1.0.0";

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
    JUDGED.map((measure) => [measure, judgeSeries(data, measure, series.get(measure) ?? [], judged)]),
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
    anomalies: [...anomalies].flatMap(([measure, found]) => found.map(toAnomalyRow(data.node, measure))),
  };
}

function metricsRow(
  { node, intervalMs }: NodeData,
  series: NodeSeries,
  window: Window,
  { actual, completenessPercent, anomalyCount, overall }: CountedWindow,
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
function volumeOf(series: NodeSeries, window: Window, intervalMs: number): number | undefined {
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
