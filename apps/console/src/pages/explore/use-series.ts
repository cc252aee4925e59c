import { keepPreviousData, useQueries } from "@tanstack/react-query";
import { get, query } from "../../api/request.ts";
import type { Series } from "../../api/types/series.ts";
import type { View } from "./view.ts";

/** A line of the chart: a sensor, now or as it was earlier. */
export interface SeriesLine {
  sensor: string;
  color: string;
  /** So much earlier; 0: the present. */
  shiftMs: number;
  series: Series;
}

/** Told apart by those who do not see all colours, on light and on dark ground. */
const COLORS = ["#2b8cc4", "#d9731a", "#3f9e5a", "#c2479b", "#8c6bc8", "#a8841a", "#d24b4b", "#2a9d98"];
const POINTS = 1200;

/** Fetches what a view shows; the former lines stay until the new ones are there. */
export function useSeries(
  { sensors, compareMs }: View,
  { fromMs, toMs }: { fromMs: number; toMs: number },
): { lines: SeriesLine[]; error: Error | null; loading: boolean } {
  const wanted = sensors.flatMap((sensor, index) =>
    [0, ...(compareMs === undefined ? [] : [compareMs])].map((shiftMs) => ({
      sensor,
      shiftMs,
      color: COLORS[index % COLORS.length] ?? "#888888",
    })),
  );
  const answers = useQueries({
    queries: wanted.map(({ sensor, shiftMs }) => ({
      queryKey: ["series", sensor, shiftMs, fromMs, toMs],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        get<Series>(
          `/api/v1/series${query({
            sensor,
            from: new Date(fromMs - shiftMs).toISOString(),
            to: new Date(toMs - shiftMs).toISOString(),
            maxPoints: POINTS,
          })}`,
          signal,
        ),
      placeholderData: keepPreviousData,
      staleTime: 60_000,
    })),
  });
  return {
    lines: wanted.flatMap((line, index) => {
      const series = answers[index]?.data;
      return series === undefined ? [] : [{ ...line, series }];
    }),
    error: answers.find(({ error }) => error !== null)?.error ?? null,
    loading: answers.some(({ isFetching }) => isFetching),
  };
}
