import {
  type DerivedRow,
  JOB_DAY_TABLE,
  listMachineKeys,
  type MachineRole,
  type MachineTable,
  type TimeRange,
  utcDate,
} from "@sluice/db";
import { defineJob, type Job, type JobOutput } from "../job.ts";
import { loadOutputs, replaceRows } from "../jobs/load.ts";
import { idsOf, type LoggedMachine } from "./machine.ts";

/** A day, as jobs of machines have it: UTC. */
export const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;

/** What a job computed for a machine and some whole days. */
export interface MachineFigures {
  readonly outputs: readonly { readonly table: MachineTable; readonly rows: readonly DerivedRow[] }[];
  /** Rows of the log that could not be read, by day. */
  readonly bad?: ReadonlyMap<number, number>;
}

/** One of the document's five scripts. */
export interface MachineScript {
  /** Its name without `.py`. */
  readonly name: string;
  readonly tables: readonly MachineTable[];
  /** Roles it cannot do without: a machine without any variable of these is left out. */
  readonly needs: readonly MachineRole[];
  /** The variables it is computed from. */
  variables(machine: LoggedMachine): number[];
  /** Reads the log and computes whole days, none of them outside of the log; what is not over yet ends at `nowMs`. */
  compute(machine: LoggedMachine, days: TimeRange, nowMs: number): Promise<MachineFigures>;
}

interface Extracted {
  days: TimeRange;
  figures: MachineFigures;
  stored: { table: MachineTable; keys: DerivedRow[] }[];
  counts: Map<number, number>;
}

/** Whether a machine has what a script needs. */
export const suits = (script: MachineScript, machine: LoggedMachine): boolean =>
  script.needs.length === 0 || idsOf(machine, ...script.needs).length > 0;

/** A job that does a script for a machine, whole days (UTC) at a time. Days outside of its log are left alone. */
export function createMachineJob(script: MachineScript, machine: LoggedMachine, now: () => number): Job {
  const { machineId, target } = machine;
  const name = `${script.name.replaceAll("_", "-")}-${machineId}`;
  return defineJob<Extracted | undefined>({
    name,
    jobType: "aggregation",
    schedule: { everyMs: DAY_MS },
    timeoutMs: 170_000,
    watermarkKey: `etl_${name}_watermark`,
    stepMs: DAY_MS,
    windowMs: WEEK_MS,
    overlapMs: 0,
    lookbackMs: DAY_MS,
    extract: async ({ tx }, window) => {
      const days = knownDays(machine, window);
      if (days.fromMs >= days.toMs) return undefined;
      const stored = [];
      for (const table of script.tables)
        stored.push({ table, keys: await listMachineKeys(target ?? tx, table, machineId, days) });
      // counted first: rows that arrive meanwhile make the day due again
      const counts = await machine.log.countDays(script.variables(machine), days);
      return { days, stored, counts, figures: await script.compute(machine, days, now()) };
    },
    transform: (extracted) => (extracted ? outputsOf(script, machine, extracted) : []),
    load: (tx, outputs) =>
      target ? target.transaction((other) => loadOutputs(other, outputs)) : loadOutputs(tx, outputs),
  });
}

/** The whole days of a window that the log of a machine reaches into. */
function knownDays({ span }: LoggedMachine, window: TimeRange): TimeRange {
  return {
    fromMs: Math.max(floorDay(window.fromMs), floorDay(span.fromMs)),
    toMs: Math.min(floorDay(window.toMs - 1), floorDay(span.toMs)) + DAY_MS,
  };
}

/** First millisecond of the day of an instant. */
export const floorDay = (atMs: number): number => Math.floor(atMs / DAY_MS) * DAY_MS;

function outputsOf(
  script: MachineScript,
  { machineId, span }: LoggedMachine,
  { days, figures, stored, counts }: Extracted,
): JobOutput[] {
  const outputs = figures.outputs.map(({ table, rows }) =>
    replaceRows(table, rows, stored.find((one) => one.table === table)?.keys ?? []),
  );
  const done: DerivedRow[] = [];
  // A day is finished once the log goes on after it: only then it is known how long its last values held.
  for (let dayMs = days.fromMs; dayMs < days.toMs && dayMs + DAY_MS <= span.toMs; dayMs += DAY_MS) {
    done.push({
      job_name: script.name,
      machine_id: machineId,
      day: utcDate(dayMs),
      source_rows: counts.get(dayMs) ?? 0,
      bad_rows: figures.bad?.get(dayMs) ?? 0,
    });
  }
  return [...outputs, { table: JOB_DAY_TABLE, rows: done }];
}
