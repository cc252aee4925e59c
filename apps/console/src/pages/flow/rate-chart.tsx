import { useMemo } from "react";
import type uPlot from "uplot";
import type { Flow } from "../../api/types/flow.ts";
import { flowRates } from "../../flow/flow-rates.ts";
import { Chart, type Line } from "../../parts/chart.tsx";

const COLORS = ["--water", "--ok", "--warn", "--bad"];
const SHOWN_S = 300;

/** What came in and what each group has done with, over the last minutes. */
export function RateChart({ looks }: { looks: readonly Flow[] }) {
  const groups = useMemo(() => (looks.at(-1)?.groups ?? []).map(({ group }) => group).join(), [looks]);
  const names = useMemo(() => groups.split(",").filter((name) => name !== ""), [groups]);
  const data = useMemo(() => {
    const rates = looks.map((_, index) => flowRates(looks.slice(Math.max(0, index - 9), index + 1)));
    return [
      looks.map(({ at }) => Date.parse(at) / 1000),
      rates.map(({ accepted }) => accepted),
      ...names.map((name) => rates.map(({ settled }) => settled[name] ?? null)),
    ] as uPlot.AlignedData;
  }, [looks, names]);
  const lines: Line[] = ["accepted", ...names].map((label, index) => ({
    label,
    color: COLORS[index % COLORS.length] ?? "--muted",
    width: index === 0 ? 2 : 1.4,
    ...(index === 0 ? {} : { dash: [5, 4] }),
  }));
  const end = (data[0]?.at(-1) as number | undefined) ?? Date.now() / 1000;
  return (
    <>
      <Chart
        data={data}
        lines={lines}
        height={220}
        units={[{ scale: "y", unit: "", zero: true }]}
        range={{ from: end - SHOWN_S, to: end }}
        label="Messages per second, accepted and settled by group"
      />
      <ul className="legend">
        {lines.map(({ label, color }) => (
          <li key={label}>
            <span style={{ background: `var(${color})` }} aria-hidden />
            {label}
          </li>
        ))}
      </ul>
    </>
  );
}
