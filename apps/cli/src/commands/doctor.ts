import { Command } from "commander";
import { pc } from "../colours.ts";
import { checkMachine } from "../doctor/check-machine.ts";
import { checkMosquitto } from "../doctor/check-mosquitto.ts";
import { checkPostgres } from "../doctor/check-postgres.ts";
import { checkRedis } from "../doctor/check-redis.ts";
import { checkInflux, checkServices } from "../doctor/check-services.ts";
import { type Finding, warning } from "../doctor/finding.ts";
import { environment, resolveDataDir } from "../environment.ts";
import { findHolder } from "../lock.ts";
import { findState } from "../state.ts";

const EXAMPLES = `
Examples:
  $ ./sluice doctor
  $ ./sluice doctor --mosquitto-conf /etc/mosquitto/mosquitto.conf
  $ REDIS_URL=redis://host DATABASE_URL=postgres://… ./sluice doctor --json

Exit code 1 when there is a problem; warnings alone do not count.`;

interface DoctorFlags {
  dataDir?: string;
  mosquittoConf?: string;
  json?: boolean;
}

/** `sluice doctor`: what is wrong or may go wrong here, and how to mend it. */
export function doctorCommand(): Command {
  return new Command("doctor")
    .description("check machine, servers, durability settings and clocks, and say how to mend each")
    .option("--mosquitto-conf <file>", "also judge the configuration of an external Mosquitto")
    .option("--json", "print one JSON object")
    .addHelpText("after", EXAMPLES)
    .action(async (_options, command: Command) => {
      const flags = command.optsWithGlobals<DoctorFlags>();
      const findings = await examine(flags);
      const ok = findings.every(({ level }) => level !== "problem");
      if (flags.json) process.stdout.write(`${JSON.stringify({ ok, findings }, null, 2)}\n`);
      else process.stdout.write(`${findings.map(describe).join("\n")}\n`);
      if (!ok) process.exitCode = 1;
    });
}

/** Servers named in the environment come before those of the data folder. */
async function examine(flags: DoctorFlags): Promise<Finding[]> {
  const dataDir = resolveDataDir(flags.dataDir);
  const state = findHolder(dataDir) === undefined ? undefined : findState(dataDir);
  const redisUrl = environment.REDIS_URL || state?.redisUrl;
  const postgresUrl = environment.DATABASE_URL || state?.postgresUrl;
  const groups = await Promise.all([
    checkMachine(dataDir),
    redisUrl === undefined ? [] : checkRedis(redisUrl),
    postgresUrl === undefined ? [] : checkPostgres(postgresUrl),
    state?.influx ? checkInflux(state.influx) : [],
    state === undefined ? notRunning(dataDir) : checkServices(state),
    flags.mosquittoConf === undefined ? [] : checkMosquitto(flags.mosquittoConf),
  ]);
  return groups.flat();
}

function notRunning(dataDir: string): Finding[] {
  return [
    warning(
      "services",
      `nothing runs on ${dataDir}`,
      "./sluice up, or give the --data-dir of the one that runs",
    ),
  ];
}

function describe({ check, level, found, mend }: Finding): string {
  const marks = { ok: pc.green("ok     "), warning: pc.yellow("warning"), problem: pc.red("PROBLEM") };
  const line = `${marks[level]} ${check.padEnd(22)} ${found}`;
  return mend === "" ? line : `${line}\n        ${" ".repeat(22)} mend: ${mend}`;
}
