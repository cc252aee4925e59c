import type { Fault } from "./fault.ts";
import type { FaultRun } from "./run-fault.ts";
import { hasFailed } from "./run-faults.ts";

/** The results as a Markdown table, a line for each fault. */
export function formatTable(faults: readonly Fault[], runs: readonly FaultRun[]): string {
  const lines = [
    "| fault | what | runs | failed | acknowledged | lost | taken away, named | twice | worst recovery | oracles |",
    "|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
  ];
  for (const { id, title } of faults) {
    const own = runs.filter((run) => run.id === id);
    if (own.length === 0) continue;
    const sum = (key: "acked" | "lost" | "takenAway" | "duplicated") =>
      own.reduce((total, run) => total + run[key], 0);
    const worst = own.some(({ recoveredMs }) => recoveredMs < 0)
      ? "never"
      : `${(Math.max(...own.map(({ recoveredMs }) => recoveredMs)) / 1000).toFixed(1)} s`;
    const asked = [...new Set(own.flatMap((run) => Object.keys(run.oracles)))].sort().join(" ");
    const counts = [sum("acked"), sum("lost"), sum("takenAway"), sum("duplicated")].join(" | ");
    lines.push(
      `| ${id} | ${title} | ${own.length} | ${own.filter(hasFailed).length} | ${counts} | ${worst} | ${asked} |`,
    );
  }
  return lines.join("\n");
}
