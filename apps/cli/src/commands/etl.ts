import { randomUUID } from "node:crypto";
import { type Db, findWatermark } from "@sluice/db";
import {
  afterRollups,
  applyPlan,
  backfillRange,
  cleanUp,
  createDailyJob,
  createEngine,
  createHourlyJob,
  type Engine,
  type Job,
  type JobResult,
  latestRange,
  PlanChangedError,
  type PlannedRun,
  parseToken,
  planRuns,
  runBackfill,
  runLatest,
} from "@sluice/etl";
import { type Influx, type InfluxOptions, type InfluxVersion, openInflux } from "@sluice/influx";
import { createConfig, loadConfig } from "@sluice/service-kit";
import { Command, Option } from "commander";
import { CommandError } from "../command-error.ts";
import { environment } from "../environment.ts";
import { printPlan, printResults } from "../etl/print-results.ts";
import { printStatus } from "../etl/print-status.ts";
import { connectFor } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { integerBetween } from "../number-argument.ts";
import { note, printJson, printLine } from "../output.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

interface RunFlags {
  source?: "postgres" | "influx";
  dryRun?: boolean;
  apply?: string;
  json?: boolean;
  hours?: number;
  days?: number;
  retentionDays?: number;
}

const HELP = `
Every run first brings the rollups up to now. A window that fails stays due and is tried again by the next run.
--dry-run shows what would be inserted and changed, with a token; --apply with that token changes exactly that, or
nothing where the data has changed since. Exit codes: 0 all done, 1 some window failed, 2 asked wrongly.

Examples:
  $ ./sluice etl hourly
  $ ./sluice etl daily --days 7
  $ ./sluice etl backfill --days 30 --dry-run
  $ ./sluice etl status`;

/** `sluice etl`: the BI tables, by hand or from cron. */
export function etlCommand(): Command {
  const command = new Command("etl")
    .description("fill the BI tables from the readings")
    .addHelpText("after", HELP);
  const days = integerBetween(1, 36_500);
  command.addCommand(
    runnable("hourly", "latest hourly figures (default: since the watermark, at first 3 hours)", [
      "hourly",
    ]).option("--hours <n>", "look back at least so far", integerBetween(1, 876_000)),
  );
  command.addCommand(
    runnable("daily", "latest daily figures (default: since the watermark, at first 2 days)", [
      "daily",
    ]).option("--days <n>", "look back at least so far", days),
  );
  command.addCommand(runnable("full", "hourly, daily and cleanup", ["hourly", "daily"]));
  command.addCommand(
    runnable("backfill", "figures of past days, whatever the watermark is; goes on after an interruption", [
      "hourly",
      "daily",
    ]).option("--days <n>", "how many days", days, 30),
  );
  command.addCommand(cleanupCommand());
  command.addCommand(
    new Command("status")
      .description("watermarks, row counts, rollups and recent runs")
      .option("--json", "print JSON, as GET /api/etl/status")
      .action((flags: RunFlags, self: Command) => withDb(self, (db) => printStatus(db, flags.json === true))),
  );
  return command;
}

function runnable(
  name: "hourly" | "daily" | "full" | "backfill",
  description: string,
  jobs: string[],
): Command {
  return new Command(name)
    .description(description)
    .addOption(
      new Option("--source <store>", "where figures come from")
        .choices(["postgres", "influx"])
        .default("postgres"),
    )
    .option("--dry-run", "show what would change, and change nothing")
    .addOption(new Option("--apply <token>", "change exactly what --dry-run showed").conflicts("dryRun"))
    .option("--json", "print JSON")
    .action((flags: RunFlags, self: Command) =>
      withDb(self, (db) =>
        withInflux(flags, self, (influx) =>
          interruptible((signal) => execute({ name, wanted: jobs, flags, db, influx, signal })),
        ),
      ),
    );
}

function cleanupCommand(): Command {
  return new Command("cleanup")
    .description("delete hourly figures beyond their retention, and what retention_policy says")
    .option("--retention-days <n>", "default: ETL_HOURLY_RETENTION_DAYS, 90", integerBetween(1, 36_500))
    .option("--dry-run", "only count them")
    .option("--json", "print JSON")
    .action((flags: RunFlags, self: Command) =>
      withDb(self, async (db) => {
        const deleted = await cleanHours(db, flags);
        if (flags.json) printJson({ command: "cleanup", dryRun: flags.dryRun === true, deleted });
        else printLine(`cleanup: ${deleted} rows ${flags.dryRun ? "would be deleted" : "deleted"}`);
      }),
    );
}

const settings = () =>
  loadConfig(createConfig("ETL_HOURLY_RETENTION_DAYS", "ETL_CONDITION_CALC_ENABLED"), environment);

const cleanHours = (db: Db, { retentionDays, dryRun }: RunFlags) =>
  cleanUp(db, {
    nowMs: Date.now(),
    retentionDays: retentionDays ?? settings().ETL_HOURLY_RETENTION_DAYS,
    dryRun: dryRun === true,
  });

async function withDb(command: Command, run: (db: Db) => Promise<void>): Promise<void> {
  const db = await connectFor(command).openDb();
  try {
    await run(db);
  } finally {
    await db.close();
  }
}

/** Opens InfluxDB where figures come from there. */
async function withInflux(
  flags: RunFlags,
  command: Command,
  run: (influx: Influx | undefined) => Promise<void>,
): Promise<void> {
  if (flags.source !== "influx") return run(undefined);
  const kept = connectFor(command).influx;
  const influx = openInflux(
    kept === undefined
      ? influxFromEnvironment()
      : influxOptions({
          INFLUXDB_URL: kept.url,
          INFLUXDB_VERSION: kept.version,
          INFLUXDB_BUCKET: kept.bucket,
          INFLUXDB_ORG: kept.org,
          INFLUXDB_TOKEN: kept.token,
          INFLUXDB_USERNAME: kept.username,
          INFLUXDB_PASSWORD: kept.password,
        }),
  );
  try {
    await run(influx);
  } finally {
    await influx.close();
  }
}

function influxFromEnvironment(): InfluxOptions {
  const names = createConfig(
    "INFLUXDB_URL",
    "INFLUXDB_VERSION",
    "INFLUXDB_BUCKET",
    "INFLUXDB_ORG",
    "INFLUXDB_TOKEN",
    "INFLUXDB_USERNAME",
    "INFLUXDB_PASSWORD",
  );
  return influxOptions(loadConfig(names, environment));
}

/** The same settings as variables of the environment have them, or as `up` keeps them. */
function influxOptions(config: {
  INFLUXDB_URL: string;
  INFLUXDB_VERSION: string;
  INFLUXDB_BUCKET: string;
  INFLUXDB_ORG: string;
  INFLUXDB_TOKEN?: string | undefined;
  INFLUXDB_USERNAME?: string | undefined;
  INFLUXDB_PASSWORD?: string | undefined;
}): InfluxOptions {
  const { INFLUXDB_TOKEN: token, INFLUXDB_USERNAME: username, INFLUXDB_PASSWORD: password } = config;
  return {
    url: config.INFLUXDB_URL,
    version: Number(config.INFLUXDB_VERSION) as InfluxVersion,
    bucket: config.INFLUXDB_BUCKET,
    org: config.INFLUXDB_ORG,
    ...(token === undefined ? {} : { token }),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  };
}

interface Execution {
  name: "hourly" | "daily" | "full" | "backfill";
  wanted: readonly string[];
  flags: RunFlags;
  db: Db;
  influx: Influx | undefined;
  signal: AbortSignal;
}

async function execute({ name, wanted, flags, db, influx, signal }: Execution): Promise<void> {
  const conditions = settings().ETL_CONDITION_CALC_ENABLED;
  const all = [createHourlyJob({ influx }), createDailyJob({ conditions, influx })];
  const jobs = all.filter((job) => wanted.includes(job.name));
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const base = createEngine({ db, log, signal, holder: `cli ${randomUUID()}`, trigger: "manual" });
  if (flags.apply !== undefined) return applyToken(base, jobs, flags.apply, flags);
  const engine = await afterRollups(base);
  if (flags.dryRun) return showPlan(engine, name, jobs, flags);
  const results: JobResult[] = [];
  for (const job of jobs) results.push(await runOne(engine, name, job, flags));
  const deleted = name === "full" ? await cleanHours(db, flags) : undefined;
  if (flags.json) printJson({ command: name, results, ...(deleted === undefined ? {} : { deleted }) });
  else printResults(results, deleted);
  if (results.some(({ failed, busy }) => failed.length + busy > 0)) process.exitCode = 1;
  if (signal.aborted) {
    note("interrupted: run it again to go on");
    process.exitCode = 130;
  }
}

function runOne(engine: Engine, name: string, job: Job, flags: RunFlags): Promise<JobResult> {
  if (name !== "backfill") return runLatest(engine, job, lookback(flags));
  const progress = (done: number, total: number) => {
    if (process.stderr.isTTY)
      process.stderr.write(`\r${job.name}: ${done} of ${total} windows${done === total ? "\n" : ""}`);
  };
  return runBackfill(engine, job, flags.days ?? 30, progress);
}

const lookback = ({ hours, days }: RunFlags): { lookbackMs?: number } => {
  if (hours !== undefined) return { lookbackMs: hours * HOUR_MS };
  return days === undefined ? {} : { lookbackMs: days * DAY_MS };
};

async function showPlan(engine: Engine, name: string, jobs: readonly Job[], flags: RunFlags): Promise<void> {
  const runs: PlannedRun[] = [];
  for (const job of jobs) {
    const range =
      name === "backfill"
        ? backfillRange(job, engine.now(), flags.days ?? 30)
        : latestRange(
            job,
            engine.now(),
            await findWatermark(engine.db, job.watermarkKey),
            lookback(flags).lookbackMs,
          );
    if (range.fromMs < range.toMs) runs.push({ job, range });
  }
  const plan = await planRuns(engine.db, runs, engine.signal);
  const deletes = name === "full" ? await cleanHours(engine.db, { ...flags, dryRun: true }) : undefined;
  if (flags.json)
    printJson({ command: name, dryRun: true, ...plan, ...(deletes === undefined ? {} : { deletes }) });
  else printPlan(name, plan, deletes);
}

async function applyToken(
  engine: Engine,
  jobs: readonly Job[],
  token: string,
  flags: RunFlags,
): Promise<void> {
  const runs = parseToken(token, jobs);
  if (runs === undefined)
    throw new CommandError(`--apply: '${token}' is no token of a dry run of this command`, 2);
  try {
    const plan = await applyPlan(engine, runs, token);
    if (flags.json) printJson({ applied: true, ...plan });
    else printLine(`applied: ${plan.changes.length} rows`);
  } catch (error) {
    if (error instanceof PlanChangedError) throw new CommandError(error.message, 1, { cause: error });
    throw error;
  }
}
