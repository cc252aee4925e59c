import { randomUUID } from "node:crypto";
import type { Db } from "@sluice/db";
import {
  createEngine,
  createMachineStores,
  type Engine,
  type Extent,
  listLoggedMachines,
  listMachineRuns,
  listMachineTasks,
  MACHINE_SCRIPTS,
  type MachineScript,
  type MachineWork,
  planRuns,
  runMachines,
} from "@sluice/etl";
import { createConfig, loadConfig } from "@sluice/service-kit";
import { CommandError } from "../command-error.ts";
import { environment } from "../environment.ts";
import { note, printJson } from "../output.ts";
import { applyToken } from "./apply-token.ts";
import { printPlan, printResults } from "./print-results.ts";

/** Name of the run that does what is due of all five. */
const DAILY_RUNNER = "etl_daily_runner";

const DAY_MS = 86_400_000;

/** Names of the jobs of machines, the daily runner among them. */
export const machineScriptNames = (): string[] => [...MACHINE_SCRIPTS.map(({ name }) => name), DAILY_RUNNER];

/** What to run of the machines' jobs. */
export interface MachineRun {
  name: string;
  /** First and last day (UTC), both included; without the last only the first, without both everything. */
  days: readonly string[];
  /** Only this machine. */
  machine?: string | undefined;
  /** Only show what would change. */
  dryRun: boolean;
  /** Token of a dry run that is to be applied. */
  apply?: string | undefined;
  json: boolean;
}

/**
 * Runs one of the machines' jobs, or what is due of all, and prints what came of it; exit code 1 where a window failed.
 * @throws CommandError where days are none, or no machine has a log
 */
export async function runMachineScripts(db: Db, run: MachineRun, signal: AbortSignal): Promise<void> {
  const extent = extentOf(run);
  const settings = createConfig("DB_HOST", "DB_PORT", "DB_USER", "DB_PASSWORD", "DB_NAME", "AGG_DB_NAME");
  const stores = createMachineStores(loadConfig(settings, environment));
  try {
    const all = await listLoggedMachines(db, stores);
    const machines = all.filter(({ machineId }) => run.machine === undefined || machineId === run.machine);
    if (machines.length === 0) throw new CommandError(nothingToRead(run.machine));
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const engine = createEngine({ db, log, signal, holder: `cli ${randomUUID()}`, trigger: "manual" });
    const work = { scripts: scriptsOf(run.name), machines, extent };
    if (run.dryRun || run.apply !== undefined)
      return await planOrApply(engine, work, run, (await stores.target()) ?? db);
    const results = await runMachines(engine, work, progress);
    if (run.json) printJson({ command: run.name, results });
    else printResults(results, undefined);
    if (results.length === 0) note(`no machine has a variable that ${run.name} needs`);
    if (results.some(({ failed, busy }) => failed.length + busy > 0)) process.exitCode = 1;
    if (signal.aborted) note("interrupted: run it again to go on");
  } finally {
    await stores.close();
  }
}

/** In one transaction of the database that the figures go to. */
async function planOrApply(base: Engine, asked: MachineWork, run: MachineRun, figures: Db) {
  const engine = { ...base, db: figures };
  const work = { ...asked, machines: asked.machines.map((machine) => ({ ...machine, target: undefined })) };
  const { signal } = engine;
  if (run.apply !== undefined) {
    const jobs = listMachineTasks(engine, work).map(({ job }) => job);
    return applyToken(figures, jobs, { token: run.apply, json: run.json, signal });
  }
  const plan = await planRuns(figures, await listMachineRuns(engine, work), signal);
  if (run.json) printJson({ command: run.name, dryRun: true, ...plan });
  else printPlan(`run ${run.name}`, plan, undefined);
}

const scriptsOf = (name: string): readonly MachineScript[] =>
  name === DAILY_RUNNER ? MACHINE_SCRIPTS : MACHINE_SCRIPTS.filter((script) => script.name === name);

function extentOf({ name, days: [first, last = first] }: MachineRun): Extent {
  if (first === undefined || last === undefined) return name === DAILY_RUNNER ? "due" : "everything";
  const [fromMs, lastMs] = [dayOf(first), dayOf(last)];
  if (fromMs > lastMs) throw new CommandError(`${first} is after ${last}`, 2);
  return { fromMs, toMs: lastMs + DAY_MS };
}

/** A day in UTC, `YYYY-MM-DD`. */
function dayOf(text: string): number {
  const dayMs = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  if (!Number.isNaN(dayMs) && new Date(dayMs).toISOString().startsWith(text)) return dayMs;
  throw new CommandError(`'${text}' is no day: give it as 2022-02-23`, 2);
}

function progress(done: number, total: number): void {
  if (!process.stderr.isTTY || total < 2) return;
  process.stderr.write(`\r${done} of ${total} windows${done === total ? "\n" : ""}`);
}

const nothingToRead = (machine: string | undefined) =>
  machine === undefined
    ? "no machine has a log: set DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME, or give a machine a device with ./sluice machines put"
    : `there is no machine '${machine}' with a log: see ./sluice machines`;
