import type { Point, Sample } from "@sluice/analytics";
import type { HourMoments, TimeRange, WaterMeasure, WaterNode, WaterReading } from "@sluice/db";

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

/** Series of a node by measure, each in order of time. */
export type NodeSeries = ReadonlyMap<WaterMeasure, readonly Sample[]>;

/** Known values of a series in a range. */
export const known = (samples: readonly Sample[] | undefined, range: TimeRange): Point[] =>
  within(samples ?? [], range).flatMap(({ atMs, value }) => (value === null ? [] : [{ atMs, value }]));

/** The part of a series, which is in order of time, that lies in a range. */
export const within = <T extends { readonly atMs: number }>(
  series: readonly T[],
  { fromMs, toMs }: TimeRange,
): readonly T[] => series.slice(firstAt(series, fromMs), firstAt(series, toMs));

/** Index of the first element of a series that is not before an instant. */
export function firstAt(series: readonly { readonly atMs: number }[], atMs: number): number {
  let low = 0;
  for (let high = series.length; low < high; ) {
    const middle = (low + high) >> 1;
    if ((series[middle]?.atMs ?? 0) < atMs) low = middle + 1;
    else high = middle;
  }
  return low;
}
