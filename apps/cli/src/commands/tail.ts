import { setTimeout as delay } from "node:timers/promises";
import type { Bus } from "@sluice/bus";
import {
  decodeMessage,
  InvalidInputError,
  OutageError,
  parseDeviceId,
  type Telemetry,
} from "@sluice/shared-types";
import { Command } from "commander";
import { pc } from "../colours.ts";
import { CommandError } from "../command-error.ts";
import { connectFor, streamsOf } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { integerBetween } from "../number-argument.ts";
import { note, printable, printJsonLine } from "../output.ts";

const POLL_MS = 100;
const RETRY_MS = 1000;
const ENTRIES = 100;

interface TailOptions {
  device?: string;
  count?: number;
  json?: boolean;
}

/** `sluice tail`: readings as they are accepted. */
export function tailCommand(): Command {
  return new Command("tail")
    .description("live readings, as they are accepted")
    .option("--device <id>", "of this device only")
    .option("--count <samples>", "end after so many samples", integerBetween(1, 1_000_000_000))
    .option("--json", "one JSON object per sample and line")
    .addHelpText(
      "after",
      "\nExamples:\n  $ ./sluice tail --device greenhouse-1\n  $ ./sluice tail --json | jq .readings",
    )
    .action(async (options: TailOptions, command: Command) => {
      if (options.device !== undefined) checkId(options.device);
      const bus = await connectFor(command).openBus();
      try {
        await interruptible((signal) => tail(bus, options, signal));
      } finally {
        await bus.close();
      }
    });
}

function checkId(id: string): void {
  try {
    parseDeviceId(id);
  } catch (cause) {
    throw new CommandError(`--device ${printable(id, 64)}: ${(cause as Error).message}`, 2, { cause });
  }
}

async function tail(bus: Bus, options: TailOptions, signal: AbortSignal): Promise<void> {
  const streams = streamsOf("telemetry");
  const last = new Map<string, string | undefined>();
  for (const stream of streams) {
    const [newest] = await bus.browse(stream, { from: "-", count: 1, reverse: true });
    last.set(stream, newest?.id);
  }
  let left = options.count ?? Number.POSITIVE_INFINITY;
  while (!signal.aborted && left > 0) {
    let found = false;
    for (const stream of streams) {
      const entries = await follow(bus, stream, last, signal);
      found ||= entries.length > 0;
      for (const message of entries.flatMap((entry) => entry.messages)) {
        if (left > 0) left -= printMessage(message, options, left);
      }
    }
    if (!found) await delay(POLL_MS, undefined, { signal }).catch(() => {});
  }
}

/** Entries after the last one seen; waits through an outage. */
async function follow(bus: Bus, stream: string, last: Map<string, string | undefined>, signal: AbortSignal) {
  const seen = last.get(stream);
  try {
    const entries = await bus.browse(stream, { from: seen ?? "-", count: ENTRIES });
    const fresh = entries.filter(({ id }) => id !== seen);
    last.set(stream, fresh.at(-1)?.id ?? seen);
    return fresh;
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    if (!signal.aborted) note(`waiting for ${error.dependency}: ${error.message}`);
    await delay(RETRY_MS, undefined, { signal }).catch(() => {});
    return [];
  }
}

/** Prints the samples of a message, at most `limit`; gives how many. */
function printMessage(message: string, options: TailOptions, limit: number): number {
  let telemetry: Telemetry;
  try {
    telemetry = decodeMessage(message);
  } catch (error) {
    if (error instanceof InvalidInputError) return 0;
    throw error;
  }
  if (telemetry.kind !== "telemetry") return 0;
  if (options.device !== undefined && telemetry.device !== options.device) return 0;
  const samples = telemetry.samples.slice(0, limit);
  for (const { timeUs, clock, readings } of samples) {
    const time = new Date(timeUs / 1000).toISOString();
    const { device, type, source } = telemetry;
    if (options.json) {
      const values = Object.fromEntries(readings.map(({ field, value }) => [field, value]));
      printJsonLine({ time, device, type, source, clock, readings: values });
    } else {
      const own =
        clock === "device" || clock === "age" ? "" : pc.dim(` (server's time: device's is ${clock})`);
      const values = readings
        .map(({ field, value }) => `${pc.dim(`${printable(field)}=`)}${colour(value)}`)
        .join(" ");
      process.stdout.write(`${pc.dim(time)} ${pc.cyan(device)} ${pc.dim(printable(type))} ${values}${own}\n`);
    }
  }
  return samples.length;
}

function colour(value: number | string | boolean | null): string {
  if (value === null) return pc.red("null");
  if (typeof value === "number") return pc.green(String(value));
  if (typeof value === "boolean") return pc.magenta(String(value));
  return pc.yellow(JSON.stringify(printable(value)));
}
