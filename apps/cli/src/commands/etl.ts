import type { Db } from "@sluice/db";
import { cleanUp, createJobs } from "@sluice/etl";
import { type Influx, openInflux } from "@sluice/influx";
import { createConfig, loadConfig } from "@sluice/service-kit";
import { Command, Option } from "commander";
import { CommandError } from "../command-error.ts";
import { environment } from "../environment.ts";
import { type EtlRun, executeRun } from "../etl/execute-run.ts";
import { printStatus } from "../etl/print-status.ts";
import { machineScriptNames, runMachineScripts } from "../etl/run-machine-scripts.ts";
import { influxOptionsFor } from "../influx/influx-options.ts";
import { withDb } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { integerBetween } from "../number-argument.ts";
import { printJson, printLine } from "../output.ts";
import { timeArgument } from "../time-argument.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

interface RunFlags {
  source?: "postgres" | "influx";
  dryRun?: boolean;
  apply?: string;
  json?: boolean;
  hours?: number;
  days?: number;
  from?: number;
  to?: number;
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
  $ ./sluice etl run daily --from 2026-01-01 --to 2026-02-01
  $ ./sluice etl run etl_agg_alerts 2022-02-01 2022-02-28
  $ ./sluice etl run etl_daily_runner
  $ ./sluice etl status`;

const EXAMPLES: Readonly<Record<string, string>> = {
  hourly: "etl hourly --hours 6",
  daily: "etl daily --days 7",
  full: "etl full --json",
  backfill: "etl backfill --days 30 --dry-run",
  run: "etl run daily --from 2026-01-01 --to 2026-02-01",
  cleanup: "etl cleanup --dry-run",
  status: "etl status --json",
};
const exampleOf = (name: string) => `\nExample:\n  $ ./sluice ${EXAMPLES[name]}`;

/** `sluice etl`: the tables that are worked out from readings, by hand or from cron. */
export function etlCommand(): Command {
  const command = new Command("etl")
    .description("fill the BI tables from the readings")
    .addHelpText("after", HELP);
  const days = integerBetween(1, 36_500);
  command.addCommand(
    runnable("hourly", "latest hourly figures (default: since the watermark, at first 3 hours)", () => [
      "hourly",
    ]).option("--hours <n>", "look back at least so far", integerBetween(1, 876_000)),
  );
  command.addCommand(
    runnable("daily", "latest daily figures (default: since the watermark, at first 2 days)", () => [
      "daily",
    ]).option("--days <n>", "look back at least so far", days),
  );
  command.addCommand(runnable("full", "hourly, daily and cleanup", () => ["hourly", "daily"]));
  command.addCommand(
    runnable(
      "backfill",
      "figures of past days, whatever the watermark is; goes on after an interruption",
      () => ["hourly", "daily"],
    ).option("--days <n>", "how many days", days, 30),
  );
  command.addCommand(
    runnable("run", `one job by its name: ${jobNames()}`, (given) => given)
      .argument("<job>", "name of the job", jobArgument)
      .argument("[from]", "of a job of machines: its day, or the first (default: everything)")
      .argument("[to]", "of a job of machines: the last day, included")
      .option("--machine <id>", "of a job of machines: only this one")
      .option("--days <n>", "so many days back, whatever the watermark is", days)
      .option("--from <time>", "just this range", timeArgument)
      .option("--to <time>", "end of the range (default: now)", timeArgument),
  );
  command.addCommand(cleanupCommand());
  command.addCommand(
    new Command("status")
      .description("watermarks, row counts, rollups and recent runs")
      .option("--json", "print JSON, as GET /api/etl/status")
      .addHelpText("after", exampleOf("status"))
      .action((flags: RunFlags, self: Command) => withDb(self, (db) => printStatus(db, flags.json === true))),
  );
  return command;
}

const jobNames = () => [...createJobs().map(({ name }) => name), ...machineScriptNames()].join(", ");

function jobArgument(name: string): string {
  if (createJobs().some((job) => job.name === name) || machineScriptNames().includes(name)) return name;
  throw new CommandError(`there is no job '${name}'; there are ${jobNames()}`, 2);
}

function runnable(name: string, description: string, jobsOf: (given: string[]) => string[]): Command {
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
    .addHelpText("after", exampleOf(name))
    .action((...given: unknown[]) => {
      const self = given.at(-1) as Command;
      const flags = self.opts<RunFlags>();
      const [job = "", ...days] = self.args;
      if (name === "run" && machineScriptNames().includes(job)) return runForMachines(self, job, days);
      if (days.length > 0) throw new CommandError(`'${days[0]}': the range of ${job} is --from and --to`, 2);
      const span = spanOf(name, flags);
      return withDb(self, (db) =>
        withInflux(flags, self, (influx) =>
          interruptible((signal) => {
            const wanted = jobsOf(self.args);
            const run: EtlRun = {
              name,
              jobs: createJobs({ influx, conditions: settings().ETL_CONDITION_CALC_ENABLED }).filter((job) =>
                wanted.includes(job.name),
              ),
              span,
              dryRun: flags.dryRun === true,
              apply: flags.apply,
              json: flags.json === true,
              ...(name === "full" && { cleanUp: (dryRun: boolean) => cleanHours(db, { ...flags, dryRun }) }),
            };
            return executeRun(db, run, signal);
          }),
        ),
      );
    });
}

/** A job of machines: its days are arguments, and none of the flags of other jobs is for it. */
function runForMachines(command: Command, name: string, days: string[]): Promise<void> {
  const { machine, json, dryRun, apply, ...others } = command.opts<RunFlags & { machine?: string }>();
  const strange = Object.keys(others).find((flag) => command.getOptionValueSource(flag) === "cli");
  if (strange !== undefined)
    throw new CommandError(`${name} takes its days as arguments, and no --${strange}`, 2);
  return withDb(command, (db) =>
    interruptible((signal) =>
      runMachineScripts(
        db,
        { name, days, machine, dryRun: dryRun === true, apply, json: json === true },
        signal,
      ),
    ),
  );
}

/** @throws CommandError where flags contradict each other */
function spanOf(name: string, { hours, days, from, to }: RunFlags): EtlRun["span"] {
  if (from === undefined && to !== undefined) throw new CommandError("--to needs --from", 2);
  if (from !== undefined) {
    if (days !== undefined) throw new CommandError("give either --days or --from", 2);
    const range = { fromMs: from / 1000, toMs: to === undefined ? Date.now() : to / 1000 };
    if (range.fromMs >= range.toMs) throw new CommandError("--from has to be before --to", 2);
    return { range };
  }
  if (name === "backfill" || (name === "run" && days !== undefined)) return { days: days ?? 30 };
  if (hours !== undefined) return { latest: { lookbackMs: hours * HOUR_MS } };
  return { latest: days === undefined ? {} : { lookbackMs: days * DAY_MS } };
}

function cleanupCommand(): Command {
  return new Command("cleanup")
    .description("delete hourly figures beyond their retention, and what retention_policy says")
    .option("--retention-days <n>", "default: ETL_HOURLY_RETENTION_DAYS, 90", integerBetween(1, 36_500))
    .option("--dry-run", "only count them")
    .option("--json", "print JSON")
    .addHelpText("after", exampleOf("cleanup"))
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

/** Opens InfluxDB where figures come from there. */
async function withInflux(
  flags: RunFlags,
  command: Command,
  run: (influx: Influx | undefined) => Promise<void>,
): Promise<void> {
  if (flags.source !== "influx") return run(undefined);
  const influx = openInflux(influxOptionsFor(command));
  try {
    await run(influx);
  } finally {
    await influx.close();
  }
}
