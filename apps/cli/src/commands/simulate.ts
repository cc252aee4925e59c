import { randomBytes } from "node:crypto";
import { DEVICE_ID } from "@sluice/shared-types";
import { Command, InvalidArgumentError, Option } from "commander";
import { CommandError } from "../command-error.ts";
import { type DeliveryLedger, openDeliveryLedger } from "../fleet/delivery-ledger.ts";
import { provisionFleet } from "../fleet/provision-fleet.ts";
import { connectFor } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { integerBetween, numberBetween } from "../number-argument.ts";
import { note, printJson, printLine } from "../output.ts";
import { openProfile, PROFILES, type Profile } from "../simulation/profiles.ts";
import { runSimulation, type SimulationReport } from "../simulation/run-simulation.ts";

const DEFAULT_CONNECTIONS = 200;

interface SimulateOptions {
  devices: number;
  rate: number;
  seconds: number;
  profile: Profile;
  connections?: number;
  prefix?: string;
  seed: number;
  ledger?: string;
  drain: number;
  json?: boolean;
}

const HELP = `
Every device sends QoS 1 messages of 7 readings with its own timestamp, boot and seq. The devices share one
credential; each has a connection of its own up to ${DEFAULT_CONNECTIONS}, then they share these. A message that is not
acknowledged is sent again, unchanged, after every reconnect. --rate is the whole fleet's.
Exit code 0 only if everything was sent and acknowledged.
--ledger appends one line "device boot seq" per acknowledged message, each on disk before it counts.

Examples:
  $ ./sluice simulate --devices 50 --rate 200 --seconds 30
  $ ./sluice simulate --devices 1000 --rate 5000 --seconds 60 --profile water --ledger acked.txt --json`;

/** `sluice simulate`: a fleet over real MQTT connections. */
export function simulateCommand(): Command {
  return new Command("simulate")
    .description("a fleet over real MQTT connections, with an exact report of what was acknowledged")
    .option("--devices <n>", "number of devices", integerBetween(1, 10_000), 10)
    .option("--rate <messages>", "messages per second of the whole fleet", numberBetween(0.01, 100_000), 10)
    .option("--seconds <s>", "how long to send", numberBetween(0.1, 604_800), 10)
    .addOption(new Option("--profile <kind>", "kind of devices").choices(PROFILES).default("hydroponics"))
    .option("--connections <n>", "number of MQTT connections", integerBetween(1, 10_000))
    .option(
      "--prefix <text>",
      "device ids are <prefix>-0001 and so on (default: sim-<profile>)",
      prefixArgument,
    )
    .option("--seed <n>", "seed of the series", integerBetween(0, 2 ** 31 - 1), 1)
    .option("--ledger <file>", "append a line per acknowledged message")
    .option("--drain <s>", "how long to wait for the last acknowledgements", numberBetween(0, 86_400), 60)
    .option("--json", "print JSON")
    .addHelpText("after", HELP)
    .action((options: SimulateOptions, command: Command) =>
      interruptible((signal) => simulate(options, command, signal)),
    );
}

function prefixArgument(text: string): string {
  if (DEVICE_ID.test(text) && text.length <= 58) return text;
  throw new InvalidArgumentError("Allowed: 1-58 letters, digits, '_' or '-'.");
}

async function simulate(options: SimulateOptions, command: Command, signal: AbortSignal): Promise<void> {
  const connection = connectFor(command);
  const read = await openProfile(options.profile, options);
  const prefix = options.prefix ?? `sim-${options.profile}`;
  const devices = Array.from(
    { length: options.devices },
    (_, i) => `${prefix}-${String(i + 1).padStart(4, "0")}`,
  );
  const boot = `${Date.now().toString(36)}-${randomBytes(3).toString("hex")}`;
  const ledger = options.ledger === undefined ? undefined : await openLedger(options.ledger);
  const db = await connection.openDb();
  const fleet = await provisionFleet(db, connection.pepper(), {
    url: connection.urls.mqtt,
    username: `fleet_${prefix}`,
    devices,
    type: options.profile,
    connections: Math.min(options.devices, options.connections ?? DEFAULT_CONNECTIONS),
    clientId: `sim-${boot}`,
  }).finally(() => db.close());
  try {
    const { rate, seconds } = options;
    const report = await runSimulation(fleet, {
      devices,
      read,
      rate,
      seconds,
      boot,
      topicRoot: connection.topicRoot,
      drainMs: options.drain * 1000,
      signal,
      ...(ledger ? { ledger } : {}),
      ...(options.json || !process.stderr.isTTY ? {} : { onProgress: showProgress }),
    });
    if (process.stderr.isTTY && !options.json) process.stderr.write("\x1b[2K\r");
    print(report, options);
    if (report.unacknowledged > 0 || report.notSent > 0) process.exitCode = 1;
  } finally {
    await fleet.close();
    await ledger?.close();
  }
}

async function openLedger(path: string): Promise<DeliveryLedger> {
  try {
    return await openDeliveryLedger(path);
  } catch (cause) {
    throw new CommandError(`--ledger ${path}: ${(cause as Error).message}`, 1, { cause });
  }
}

function showProgress(r: SimulationReport): void {
  const losses = r.connectionLosses > 0 ? `, connections lost ${r.connectionLosses}` : "";
  process.stderr.write(
    `\x1b[2K\r${r.seconds.toFixed(0)} s: sent ${r.sent}, acknowledged ${r.acknowledged}, outstanding ${r.unacknowledged}${losses}`,
  );
}

function print(report: SimulationReport, { json }: SimulateOptions): void {
  if (json) {
    printJson(report);
    return;
  }
  const ms = (value: number | null) => (value === null ? "-" : `${value} ms`);
  const { latencyMs } = report;
  printLine(`devices         ${report.devices} (boot ${report.boot})`);
  printLine(`sent            ${report.sent} messages, ${report.readings} readings in ${report.seconds} s`);
  printLine(`acknowledged    ${report.acknowledged} (${report.rate} per second while sending)`);
  printLine(`unacknowledged  ${report.unacknowledged}`);
  if (report.notSent > 0) printLine(`not sent        ${report.notSent}: the rate was not reached`);
  printLine(
    `latency         p50 ${ms(latencyMs.p50)}, p99 ${ms(latencyMs.p99)}, longest ${ms(latencyMs.max)}`,
  );
  printLine(`connections     lost ${report.connectionLosses} times`);
  if (report.unacknowledged > 0 && report.lastError) note(`last error: ${report.lastError}`);
}
