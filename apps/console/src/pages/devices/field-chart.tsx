import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import type uPlot from "uplot";
import { get, query } from "../../api/request.ts";
import type { Series } from "../../api/types/series.ts";
import { Chart } from "../../parts/chart.tsx";
import { Problem, Skeleton } from "../../parts/notice.tsx";
import { useNow } from "../../parts/use-now.ts";

const HOUR_MS = 3_600_000;

/** The last hour of a field, going on with what is heard live. */
export function FieldChart({
  device,
  field,
  live,
}: {
  device: string;
  field: string;
  live: readonly { timeMs: number; value: number }[];
}) {
  const now = useNow(5000);
  const { data, error } = useQuery({
    queryKey: ["field-chart", device, field],
    queryFn: ({ signal }) =>
      get<Series>(
        `/api/v1/series${query({ device, field, from: new Date(Date.now() - HOUR_MS).toISOString(), maxPoints: 600 })}`,
        signal,
      ),
    staleTime: 60_000,
  });
  const plotted = useMemo(() => join(data, live), [data, live]);
  if (error) return <Problem error={error} />;
  if (data === undefined) return <Skeleton rows={6} />;
  return (
    <Chart
      label={`${field} of ${device} in the last hour`}
      height={300}
      range={{ from: (now - HOUR_MS) / 1000, to: now / 1000 }}
      units={[{ scale: "y", unit: data.sensor.unit ?? "" }]}
      lines={[{ label: field, color: "--water", points: (plotted[0]?.length ?? 0) < 60 }]}
      data={plotted}
    />
  );
}

function join(
  series: Series | undefined,
  live: readonly { timeMs: number; value: number }[],
): uPlot.AlignedData {
  const stored = (series?.points ?? []).flatMap(({ time, value }) =>
    typeof value === "number" ? [{ timeMs: Date.parse(time), value }] : [],
  );
  const lastMs = stored.at(-1)?.timeMs ?? 0;
  const all = [...stored, ...live.filter(({ timeMs }) => timeMs > lastMs)];
  return [all.map(({ timeMs }) => timeMs / 1000), all.map(({ value }) => value)];
}
