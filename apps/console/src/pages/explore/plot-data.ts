import type { Series } from "../../api/types/series.ts";

/** One series as columns: seconds, value, and minimum and maximum where it is rolled up. */
export interface Columns {
  times: number[];
  values: (number | null)[];
  max: (number | null)[];
  min: (number | null)[];
}

/** Columns of a series, `shiftMs` later; an empty point in each gap interrupts the line there. Pure. */
export function columnsOf(series: Series, shiftMs = 0): Columns {
  const rows = series.points.flatMap(({ time, value, min, max }) =>
    typeof value === "number" ? [{ at: Date.parse(time), value, min: min ?? null, max: max ?? null }] : [],
  );
  const holes = series.gaps.map(({ from, to }) => ({
    at: (Date.parse(from) + Date.parse(to)) / 2,
    value: null,
    min: null,
    max: null,
  }));
  const all = [...rows, ...holes]
    .sort((a, b) => a.at - b.at)
    .filter(({ at }, i, sorted) => at !== sorted[i - 1]?.at);
  return {
    times: all.map(({ at }) => (at + shiftMs) / 1000),
    values: all.map(({ value }) => value),
    max: all.map(({ max }) => max),
    min: all.map(({ min }) => min),
  };
}

/** What a series amounts to. */
export interface Summary {
  min: number;
  max: number;
  mean: number;
  readings: number;
}

/** Least, greatest and mean of what is shown; means of buckets count by their readings. */
export function summarise({ points }: Series): Summary | undefined {
  let sum = 0;
  let readings = 0;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const { value, min: low, max: high, n = 1 } of points) {
    if (typeof value !== "number") continue;
    sum += value * n;
    readings += n;
    min = Math.min(min, low ?? value);
    max = Math.max(max, high ?? value);
  }
  return readings === 0 ? undefined : { min, max, mean: sum / readings, readings };
}

/** Points that somebody should doubt, with why. */
export function doubtful({ points }: Series): { atS: number; value: number; why: string }[] {
  return points.flatMap(({ time, value, status, flags }) => {
    const why = [...(status && status !== "ok" ? [status] : []), ...(flags ?? [])].join(", ");
    return why !== "" && typeof value === "number" ? [{ atS: Date.parse(time) / 1000, value, why }] : [];
  });
}
