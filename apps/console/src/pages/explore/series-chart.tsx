import { useMemo, useRef } from "react";
import uPlot from "uplot";
import { Chart, type Line, themed } from "../../parts/chart.tsx";
import { columnsOf, doubtful } from "./plot-data.ts";
import type { SeriesLine } from "./use-series.ts";

interface Props {
  lines: readonly SeriesLine[];
  range: { fromMs: number; toMs: number };
  bands: boolean;
  loading: boolean;
  onZoom: (fromMs: number, toMs: number) => void;
  /** Hears the instant under the cursor, in seconds. */
  onPoint: (atS: number | null) => void;
}

/** The lines over each other: means with their extremes, gaps as shade, doubtful readings as marks. */
export function SeriesChart({ lines, range, bands, loading, onZoom, onPoint }: Props) {
  const fingerprint = JSON.stringify([
    bands,
    ...lines.map(({ sensor, shiftMs, series }) => [sensor, shiftMs, series.from, series.to, series.count]),
  ]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the fingerprint says when there is anything new to draw
  const plotted = useMemo(() => plot(lines, bands), [fingerprint]);
  const latest = useRef(lines);
  latest.current = lines;
  return (
    <div className={loading ? "loading" : undefined} aria-busy={loading}>
      <Chart
        height={400}
        label={`Course of ${lines.map(({ sensor }) => sensor).join(", ")}`}
        data={plotted.data}
        lines={plotted.lines}
        bands={plotted.bands}
        units={plotted.units}
        range={{ from: range.fromMs / 1000, to: range.toMs / 1000 }}
        onZoom={(from, to) => onZoom(from * 1000, to * 1000)}
        onPoint={(index) => onPoint(index === null ? null : (plotted.data[0]?.[index] ?? null))}
        draw={(chart) => drawOver(chart, latest.current)}
      />
    </div>
  );
}

function plot(series: readonly SeriesLine[], withBands: boolean) {
  const tables: uPlot.AlignedData[] = [];
  const lines: Line[] = [];
  const bands: { between: [number, number]; color: string }[] = [];
  const units: { scale: string; unit: string }[] = [];
  for (const { sensor, color, shiftMs, series: one } of series) {
    const unit = one.sensor.unit ?? "";
    const scale = `y ${unit}`;
    if (!units.some((known) => known.scale === scale)) units.push({ scale, unit });
    const { times, values, max, min } = columnsOf(one, shiftMs);
    const rolledUp = withBands && shiftMs === 0 && one.resolution !== "raw";
    const few = values.length < 80;
    lines.push({
      label: sensor,
      color: shiftMs === 0 ? color : `${color}99`,
      scale,
      points: few,
      ...(shiftMs === 0 ? {} : { dash: [6, 4] }),
    });
    if (rolledUp) {
      bands.push({ between: [lines.length + 1, lines.length + 2], color });
      const edge = { color: `${color}55`, scale, width: 0.5 };
      lines.push({ label: `${sensor} max`, ...edge }, { label: `${sensor} min`, ...edge });
    }
    tables.push([times, values, ...(rolledUp ? [max, min] : [])] as uPlot.AlignedData);
  }
  const data = tables.length === 0 ? ([[]] as uPlot.AlignedData) : uPlot.join(tables);
  return { data, lines, bands, units: units.length === 0 ? [{ scale: "y", unit: "" }] : units };
}

/** Gaps of the first line as shade, and a triangle at every reading in doubt. */
function drawOver(chart: uPlot, lines: readonly SeriesLine[]): void {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  const first = lines.find(({ shiftMs }) => shiftMs === 0);
  if (lines.length === 1 && first) {
    ctx.fillStyle = `${themed("--line-strong")}22`;
    for (const { from, to } of first.series.gaps) {
      const left = chart.valToPos(Date.parse(from) / 1000, "x", true);
      const right = chart.valToPos(Date.parse(to) / 1000, "x", true);
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
    }
  }
  ctx.fillStyle = themed("--bad");
  const size = 5 * devicePixelRatio;
  for (const { series, shiftMs } of lines) {
    if (shiftMs !== 0) continue;
    for (const { atS, value } of doubtful(series)) {
      const x = chart.valToPos(atS, "x", true);
      const y = chart.valToPos(value, `y ${series.sensor.unit ?? ""}`, true) - size;
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.lineTo(x - size, y - 1.6 * size);
      ctx.lineTo(x + size, y - 1.6 * size);
      ctx.fill();
    }
  }
  ctx.restore();
}
