import { setTimeout as delay } from "node:timers/promises";
import { type Influx, openInflux, setUpInflux } from "@sluice/influx";
import { createConfig, loadConfig } from "@sluice/service-kit";
import { OutageError } from "@sluice/shared-types";
import { Command } from "commander";
import { CommandError } from "../command-error.ts";
import { environment } from "../environment.ts";
import { influxOptionsFor } from "../influx/influx-options.ts";
import { writeSampleData } from "../influx/sample-data.ts";
import { interruptible } from "../interrupt.ts";
import { integerBetween } from "../number-argument.ts";
import { note, printJson, printLine } from "../output.ts";

interface InitFlags {
  wait: number;
  retentionDays?: number;
  adminUser: string;
  sampleData?: boolean;
  token: boolean;
  json?: boolean;
}

const RETRY_MS = 500;
const HELP = `
Waits for the server, then makes what is missing: organisation and bucket (1.x: database), the buckets <bucket>_hourly
and <bucket>_daily with what fills them (1.x: continuous queries; 2.x: Flux tasks; 3 has neither: the ETL works from the
readings), and a token (1.x: the user 'sluice') for these buckets, printed once. Doing it again changes nothing.

The server is that of INFLUXDB_URL, else the one of the running installation, whose accounts are there already. It needs
an administrator: INFLUXDB_TOKEN, or INFLUXDB_USERNAME and INFLUXDB_PASSWORD for 1.x and for a 2.x server that nobody has
set up yet. The Flux tasks have been compared with their text, not run: there was no InfluxDB 2 to run them on.

Examples:
  $ ./sluice influx init
  $ INFLUXDB_URL=http://localhost:8086 ./sluice influx init --sample-data --retention-days 30`;

/** `sluice influx`: sets an InfluxDB up. */
export function influxCommand(): Command {
  const init = new Command("init")
    .description("make organisation, bucket, aggregate buckets and token, as init_influxdb.py did")
    .option("--wait <seconds>", "how long to wait for the server", integerBetween(0, 3600), 60)
    .option(
      "--retention-days <n>",
      "how long readings are kept (default: for ever)",
      integerBetween(1, 36_500),
    )
    .option("--admin-user <name>", "administrator of a 2.x server that nobody has set up yet", "admin")
    .option("--sample-data", "write a day of made-up readings")
    .option("--no-token", "make no token")
    .option("--json", "print JSON")
    .addHelpText("after", HELP)
    .action((flags: InitFlags, self: Command) => interruptible((signal) => initialise(flags, self, signal)));
  return new Command("influx")
    .description("set InfluxDB up")
    .addHelpText("after", "\nExample:\n  $ ./sluice influx init")
    .addCommand(init);
}

async function initialise(flags: InitFlags, command: Command, signal: AbortSignal): Promise<void> {
  const { ours, ...options } = influxOptionsFor(command);
  const influx = openInflux(options);
  try {
    await waitForServer(influx, flags.wait * 1000, signal);
    const { INFLUXDB_USERNAME, INFLUXDB_PASSWORD } = loadConfig(
      createConfig("INFLUXDB_USERNAME", "INFLUXDB_PASSWORD"),
      environment,
    );
    const result = await setUpInflux(options, {
      username: INFLUXDB_USERNAME ?? flags.adminUser,
      password: INFLUXDB_PASSWORD,
      retentionMs: flags.retentionDays === undefined ? undefined : flags.retentionDays * 86_400_000,
      token: flags.token && !ours,
    });
    const points = flags.sampleData ? await writeSamples(influx, options, result.credentials) : 0;
    if (flags.json) printJson({ ...result, samplePoints: points });
    else printResult(result.made, result.credentials, points);
  } finally {
    await influx.close();
  }
}

/** With the token that was just made where there was none before. */
async function writeSamples(
  influx: Influx,
  options: Parameters<typeof openInflux>[0],
  { INFLUXDB_TOKEN: token }: Record<string, string>,
): Promise<number> {
  if (token === undefined) return writeSampleData(influx, Date.now());
  const fresh = openInflux({ ...options, token });
  try {
    return await writeSampleData(fresh, Date.now());
  } finally {
    await fresh.close();
  }
}

async function waitForServer(influx: Influx, waitMs: number, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + waitMs;
  for (let told = false; !signal.aborted; told = true) {
    try {
      return await influx.ping();
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
      if (performance.now() > deadlineMs) throw error;
      if (!told) note(`waiting for InfluxDB: ${error.message}`);
      await delay(RETRY_MS, undefined, { signal }).catch(() => {});
    }
  }
  throw new CommandError("interrupted before InfluxDB was there");
}

function printResult(made: readonly string[], credentials: Record<string, string>, points: number): void {
  for (const what of made) printLine(`made ${what}`);
  if (made.length === 0) printLine("everything was there already");
  if (points > 0) printLine(`wrote ${points} sample points`);
  const secrets = Object.entries(credentials);
  if (secrets.length === 0) return;
  printLine("\nShown this once, for your .env:");
  for (const [name, value] of secrets) printLine(`${name}=${value}`);
}
