import { useCallback, useState } from "react";
import type uPlot from "uplot";
import type { LiveReading } from "../../api/types/series.ts";
import { value } from "../../format.ts";
import { Chart } from "../../parts/chart.tsx";

/** What was heard of each field, oldest first. */
export type LiveSeries = ReadonlyMap<string, readonly { timeMs: number; value: number }[]>;

const KEPT = 600;

/** Collects live readings by field. */
export function useLiveSeries(): { series: LiveSeries; hear: (reading: LiveReading) => void } {
  const [series, setSeries] = useState<LiveSeries>(new Map());
  const hear = useCallback((reading: LiveReading) => setSeries((before) => withReading(before, reading)), []);
  return { series, hear };
}

function withReading(before: LiveSeries, { samples }: LiveReading): LiveSeries {
  const after = new Map(before);
  for (const { time, readings } of samples) {
    for (const [field, reading] of Object.entries(readings)) {
      const number = typeof reading === "boolean" ? Number(reading) : reading;
      if (typeof number !== "number") continue;
      const points = [...(after.get(field) ?? []), { timeMs: Date.parse(time), value: number }];
      after.set(field, points.sort((a, b) => a.timeMs - b.timeMs).slice(-KEPT));
    }
  }
  return after;
}

/** A small chart for each field that was heard. */
export function LiveCharts({ series }: { series: LiveSeries }) {
  return (
    <div className="small-charts">
      {[...series].map(([field, points]) => (
        <figure key={field}>
          <figcaption>
            <span>{field}</span>
            <strong>{value(points.at(-1)?.value)}</strong>
          </figcaption>
          <Chart
            label={`${field}, live: ${points.length} readings, the last ${value(points.at(-1)?.value)}`}
            height={120}
            lines={[{ label: field, color: "--water", points: points.length < 60 }]}
            data={
              [
                points.map(({ timeMs }) => timeMs / 1000),
                points.map((point) => point.value),
              ] as uPlot.AlignedData
            }
          />
        </figure>
      ))}
    </div>
  );
}
