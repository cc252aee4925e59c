import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { useShownTheme } from "../theme.ts";

/** One line of a chart. `color` is the name of a colour of the theme, or any colour. */
export interface Line {
  label: string;
  color: string;
  scale?: string;
  dash?: number[];
  width?: number;
  /** Drawn as a mark per point too. */
  points?: boolean;
  show?: boolean;
}

/** What a chart shows: times in seconds, then one row of values per line. */
export interface ChartProps {
  data: uPlot.AlignedData;
  lines: readonly Line[];
  /** Pairs of lines (from 1) to fill between. */
  bands?: readonly { between: [number, number]; color: string }[];
  /** Scales with their units; the first two have axes. `zero`: begins at nothing. */
  units?: readonly { scale: string; unit: string; zero?: boolean }[];
  height?: number;
  /** What the chart shows, in words. */
  label: string;
  range?: { from: number; to: number };
  onZoom?: (from: number, to: number) => void;
  /** Where the cursor is; null when it has left. */
  onPoint?: (index: number | null) => void;
  /** Draws over the lines. */
  draw?: (plot: uPlot) => void;
}

/** A time-series chart that is as wide as there is room, in the colours of the theme. */
export function Chart(props: ChartProps) {
  const { data, lines, bands, units, height = 280, label, range } = props;
  const theme = useShownTheme();
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const shape = JSON.stringify([lines, bands, units, height, theme]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` is all that a plot is made from; data come by setData
  useEffect(() => {
    const element = holder.current;
    if (element === null) return;
    const made = new uPlot(optionsFor(latest, element.clientWidth), latest.current.data, element);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the range belongs to the data
  useEffect(() => {
    plot.current?.setData(data);
  }, [data, range?.from, range?.to]);
  return <div ref={holder} className="chart" role="img" aria-label={label} style={{ minHeight: height }} />;
}

function optionsFor(latest: { current: ChartProps }, width: number): uPlot.Options {
  const {
    lines,
    bands = [],
    units = [{ scale: "y", unit: "" } as { scale: string; unit: string; zero?: boolean }],
    height = 280,
    onZoom,
  } = latest.current;
  const muted = themed("--muted");
  const grid = { stroke: themed("--line"), width: 1 };
  const axis: uPlot.Axis = { stroke: muted, grid, ticks: grid, font: "12px system-ui" };
  return {
    width,
    height,
    cursor: { drag: { x: onZoom !== undefined, y: false, setScale: false }, y: false, points: { size: 7 } },
    legend: { show: false },
    scales: {
      x: {
        time: true,
        range: (_plot, min, max) => {
          const { range } = latest.current;
          return range ? [range.from, range.to] : [min, max];
        },
      },
      ...Object.fromEntries(
        units.map(({ scale, zero }) => [
          scale,
          zero
            ? { range: { min: { pad: 0, hard: 0, soft: 0, mode: 1 }, max: { pad: 0.1, soft: 1, mode: 2 } } }
            : {},
        ]),
      ),
    },
    axes: [
      { ...axis, values: (_plot, splits, _index, _space, step) => splits.map((at) => tick(at, step)) },
      ...units.slice(0, 2).map(({ scale, unit }, index) => ({
        ...axis,
        scale,
        side: index === 0 ? 3 : 1,
        size: 58,
        grid: index === 0 ? grid : { show: false },
        ...(unit === "" ? {} : { label: unit, labelSize: 20, labelFont: "12px system-ui" }),
      })),
    ],
    series: [
      {},
      ...lines.map(
        ({ label, color, scale = "y", dash, width: thick = 1.6, points = false, show = true }) => ({
          label,
          scale,
          show,
          stroke: themed(color),
          width: thick,
          spanGaps: false,
          points: { show: points, size: 4 },
          ...(dash ? { dash } : {}),
        }),
      ),
    ],
    bands: bands.map(({ between, color }) => ({ series: between, fill: `${toHex(themed(color))}33` })),
    hooks: {
      setSelect: [
        (plot) => {
          const { left, width: wide } = plot.select;
          if (wide < 4) return;
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          latest.current.onZoom?.(plot.posToVal(left, "x"), plot.posToVal(left + wide, "x"));
        },
      ],
      setCursor: [
        (plot) =>
          latest.current.onPoint?.(
            plot.cursor.left === undefined || plot.cursor.left < 0 ? null : (plot.cursor.idx ?? null),
          ),
      ],
      draw: [(plot) => latest.current.draw?.(plot)],
    },
  };
}

const TWO = (value: number) => String(value).padStart(2, "0");

/** An instant as an axis shows it: as fine as the steps are, with the date where a day begins. */
function tick(atS: number, stepS: number): string {
  const at = new Date(atS * 1000);
  const day = `${TWO(at.getMonth() + 1)}-${TWO(at.getDate())}`;
  if (stepS >= 28 * 86_400) return `${at.getFullYear()}-${TWO(at.getMonth() + 1)}`;
  if (stepS >= 86_400) return day;
  const clock = `${TWO(at.getHours())}:${TWO(at.getMinutes())}`;
  if (clock === "00:00" && at.getSeconds() === 0) return day;
  return stepS >= 60 ? clock : `${clock}:${TWO(at.getSeconds())}`;
}

/** A colour of the theme by its name, as it is now. */
export function themed(color: string): string {
  return color.startsWith("--")
    ? getComputedStyle(document.documentElement).getPropertyValue(color).trim()
    : color;
}

/** Theme colours are written as #rrggbb. */
const toHex = (color: string) => (/^#[0-9a-f]{6}$/i.test(color) ? color : "#888888");
