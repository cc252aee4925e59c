import { dueDays } from "@sluice/analytics";
import { listJobDays, type TimeRange } from "@sluice/db";
import type { PlannedRun } from "../dry-run.ts";
import type { Engine } from "../engine.ts";
import type { Job } from "../job.ts";
import { type JobResult, type OnWindow, runRange } from "../run-job.ts";
import { alerts } from "./alerts.ts";
import { energyDaily } from "./energy-daily.ts";
import type { LoggedMachine } from "./machine.ts";
import { createMachineJob, DAY_MS, floorDay, type MachineScript, suits } from "./machine-job.ts";
import { programHistory } from "./program-history.ts";
import { sensorStats } from "./sensor-stats.ts";
import { utilization } from "./utilization.ts";

/** The document's five scripts, in the order of its daily runner. */
export const MACHINE_SCRIPTS: readonly MachineScript[] = [
  sensorStats,
  utilization,
  programHistory,
  alerts,
  energyDaily,
];

/** How far back the daily run looks for days whose log has changed since they were finished. */
const RECOUNT_DAYS = 35;

/** Days to do: a range, everything that the log has, or what is due. */
export type Extent = TimeRange | "everything" | "due";

/** What to do; a script that a machine has no variable for is left out. */
export interface MachineWork {
  readonly scripts: readonly MachineScript[];
  readonly machines: readonly LoggedMachine[];
  readonly extent: Extent;
}

/** A script with a machine that has what it needs, and the job of the two. */
export interface MachineTask {
  readonly script: MachineScript;
  readonly machine: LoggedMachine;
  readonly job: Job;
}

/** Every script with every machine that has what it needs, in the order in which they are done. */
export const listMachineTasks = (
  { now }: Engine,
  { scripts, machines }: Omit<MachineWork, "extent">,
): MachineTask[] =>
  scripts.flatMap((script) =>
    machines
      .filter((machine) => suits(script, machine))
      .map((machine) => ({ script, machine, job: createMachineJob(script, machine, now) })),
  );

/** The jobs and ranges of some work, for a dry run. */
export async function listMachineRuns(engine: Engine, work: MachineWork): Promise<PlannedRun[]> {
  const runs: PlannedRun[] = [];
  for (const { script, machine, job } of listMachineTasks(engine, work)) {
    for (const range of await rangesOf(engine, script, machine, work.extent)) runs.push({ job, range });
  }
  return runs;
}

/** Does scripts for machines; one result per script and machine. */
export async function runMachines(
  engine: Engine,
  work: MachineWork,
  onWindow?: OnWindow,
): Promise<JobResult[]> {
  const results: JobResult[] = [];
  for (const { script, machine, job } of listMachineTasks(engine, work)) {
    if (engine.signal.aborted) break;
    const total: JobResult = { job: job.name, windows: 0, rows: 0, changed: 0, failed: [], busy: 0 };
    for (const range of await rangesOf(engine, script, machine, work.extent))
      add(total, await runRange(engine, job, range, onWindow));
    results.push(total);
  }
  return results;
}

async function rangesOf(
  engine: Engine,
  script: MachineScript,
  machine: LoggedMachine,
  extent: Extent,
): Promise<TimeRange[]> {
  if (typeof extent === "object") return [extent];
  const all = { fromMs: floorDay(machine.span.fromMs), toMs: floorDay(machine.span.toMs) + DAY_MS };
  if (extent === "everything") return [all];
  const done = await listJobDays(machine.target ?? engine.db, script.name, machine.machineId, all);
  const recent = { ...all, fromMs: Math.max(all.fromMs, all.toMs - RECOUNT_DAYS * DAY_MS) };
  const counts = await machine.log.countDays(script.variables(machine), recent);
  const days = [];
  for (let dayMs = all.fromMs; dayMs < all.toMs; dayMs += DAY_MS) {
    const doneRows = done.get(dayMs);
    days.push({ dayMs, doneRows, rows: dayMs < recent.fromMs ? (doneRows ?? 0) : (counts.get(dayMs) ?? 0) });
  }
  return toRanges(dueDays(days));
}

/** Days that follow each other become one range. */
function toRanges(days: readonly number[]): TimeRange[] {
  const ranges: { fromMs: number; toMs: number }[] = [];
  for (const dayMs of days) {
    const last = ranges.at(-1);
    if (last?.toMs === dayMs) last.toMs += DAY_MS;
    else ranges.push({ fromMs: dayMs, toMs: dayMs + DAY_MS });
  }
  return ranges;
}

function add(total: JobResult, { windows, rows, changed, failed, busy }: JobResult): void {
  total.windows += windows;
  total.rows += rows;
  total.changed += changed;
  total.failed.push(...failed);
  total.busy += busy;
}
