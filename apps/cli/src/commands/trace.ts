import { openInflux } from "@sluice/influx";
import { parseTime } from "@sluice/shared-types";
import { iso, type TraceQuery, type TraceReport, traceMessage } from "@sluice/trace";
import { Command, InvalidArgumentError, Option } from "commander";
import { pc } from "../colours.ts";
import { CommandError } from "../command-error.ts";
import type { Connection } from "../connect.ts";
import { deviceIdArgument } from "../id-argument.ts";
import { connectFor, streamsOf } from "../installation.ts";
import { durationUpTo, integerBetween } from "../number-argument.ts";
import { formatDuration, printable, printJson, printLine } from "../output.ts";

const HELP = `
Says each hop: received, accepted as stream entry, stored as readings, in InfluxDB, in which rollup bucket; or
refused, and why. Where nothing of it is here: connections, subscriptions and topics refused in the last day.
Exit code 1 where it is not stored.

Examples:
  $ ./sluice trace --device greenhouse-1 --seq 4711
  $ ./sluice trace --device greenhouse-1 --at 2026-11-21T10:00:00Z --within 30s
  $ ./sluice trace --message 1763719200000-12001#0`;

interface TraceOptions {
  device?: string;
  seq?: number;
  boot?: string;
  at?: number;
  within: number;
  message?: { entryId: string; index: number };
  json?: boolean;
}

/** `sluice trace`: where is my message. */
export function traceCommand(): Command {
  return new Command("trace")
    .description("where a message is: by device and seq, by time, or by message id")
    .option("--device <id>", "its device", deviceIdArgument)
    .option("--seq <n>", "its sequence number", integerBetween(0, Number.MAX_SAFE_INTEGER))
    .option("--boot <id>", "the device's boot id")
    .option("--at <time>", "when it was sent: ISO 8601 or epoch", timeArgument)
    .option("--within <duration>", "how far around --at", durationUpTo("1d"), 5_000)
    .addOption(
      new Option("--message <id>", "its id on the bus: <entry>#<index>")
        .argParser(messageArgument)
        .conflicts(["device", "seq", "at"]),
    )
    .option("--json", "print JSON")
    .addHelpText("after", HELP)
    .action(async (options: TraceOptions, command: Command) => {
      const query = toQuery(options);
      const report = await trace(connectFor(command), query);
      if (options.json) printJson(report);
      else print(report);
      if (report.state !== "stored") process.exitCode = 1;
    });
}

async function trace(connection: Connection, query: TraceQuery): Promise<TraceReport> {
  const [bus, db] = await Promise.all([connection.openBus(), connection.openDb()]);
  const access = connection.influx;
  const influx = access && openInflux({ ...withoutUndefined(access), version: Number(access.version) as 1 });
  try {
    return await traceMessage({ bus, db, influx, streams: streamsOf("telemetry") }, query);
  } finally {
    await Promise.all([bus.close(), db.close(), influx?.close()]);
  }
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as never;
}

/** What the options ask for. @throws CommandError */
function toQuery({ device, seq, boot, at, within, message }: TraceOptions): TraceQuery {
  if (message) return { by: "message", ...message };
  if (device === undefined) throw new CommandError("say which: --device with --seq or --at, or --message", 2);
  if (seq !== undefined) return { by: "seq", device, seq, ...(boot === undefined ? {} : { boot }) };
  if (at === undefined) throw new CommandError("give --seq or --at", 2);
  return { by: "time", device, atMs: at, withinMs: within };
}

const COLOURS = {
  stored: pc.green,
  waiting: pc.yellow,
  settled: pc.yellow,
  refused: pc.red,
  missing: pc.red,
  unknown: pc.red,
} as const;

function print(report: TraceReport): void {
  printLine(
    `${pc.bold(report.device ?? "unknown device")}  ${COLOURS[report.state](printable(report.verdict, 500))}`,
  );
  for (const message of report.messages) {
    const { boot, seq } = message;
    const name = [boot && `boot ${printable(boot, 64)}`, seq !== undefined && `seq ${seq}`].filter(Boolean);
    line(
      "received",
      `${message.receivedAt} by ${message.source} ${printable(message.topic ?? "")} ${name.join(" ")}`,
    );
    line("accepted", `${message.id} (message ${message.ordinal} of the stream) at ${message.acceptedAt}`);
    for (const [group, state] of Object.entries(message.groups)) line(`  ${group}`, state);
  }
  for (const life of report.sequences) {
    const boot = life.boot === "" ? "without boot id" : `boot ${printable(life.boot, 64)}`;
    const span = `${life.firstAt.toISOString()} to ${life.lastAt.toISOString()}`;
    line(
      "sequence",
      `${life.received ? "received" : "missing"} in ${boot}: ${life.lowest} to ${life.highest}, ${span}`,
    );
  }
  if (report.messages.length === 0 && report.sequences.some(({ received }) => received)) {
    line("", "it has left the stream: its readings are among these, by when its number came");
  }
  for (const { field, timeUs, value, status, bucket, rollup } of report.readings.slice(0, 20)) {
    const rolled = rollup === "none" ? "" : `  bucket ${bucket.toISOString()} ${rollup}`;
    line(
      "stored",
      `${iso(timeUs)} ${printable(field)} = ${printable(String(value), 60)} (${status})${rolled}`,
    );
  }
  if (report.influx === null && report.readings.length > 0) line("InfluxDB", "not asked");
  else if (report.influx?.length === 0 && report.readings.length > 0) line("InfluxDB", pc.yellow("no point"));
  for (const { measurement, timeUs, fields } of (report.influx ?? []).slice(0, 20)) {
    line("InfluxDB", `${iso(timeUs)} ${printable(measurement)} ${printable(JSON.stringify(fields))}`);
  }
  for (const refusal of report.refusals) {
    const { id, reason, detail, receivedAt, status } = refusal;
    line(
      "refused",
      `${receivedAt.toISOString()} ${pc.yellow(reason)} ${printable(detail)} (quarantine ${id}, ${status})`,
    );
  }
  if (report.state !== "stored") printTurnedAway(report);
}

function printTurnedAway({ turnedAway, known }: TraceReport): void {
  for (const { certain, reason, detail, receivedAt, source, times } of turnedAway) {
    const ago = formatDuration(Math.max(0, Date.now() - receivedAt.getTime()));
    line(
      certain ? "turned away" : "perhaps",
      `${ago} ago by ${source}: ${pc.yellow(reason)} ${printable(detail)}${times > 1 ? `, ${times} times` : ""}`,
    );
  }
  if (known) line("last data", known.lastDataReceived?.toISOString() ?? "never");
}

const line = (hop: string, text: string) => printLine(`  ${hop.padEnd(12)} ${text}`);

function timeArgument(text: string): number {
  const us = parseTime(text);
  if (us === undefined) throw new InvalidArgumentError("Allowed: an ISO 8601 time, or seconds since 1970.");
  return us / 1000;
}

function messageArgument(text: string): { entryId: string; index: number } {
  const found = /^(\d+-\d+)(?:#(\d+))?$/.exec(text);
  if (!found?.[1]) throw new InvalidArgumentError("Allowed: <milliseconds>-<number>#<index>.");
  return { entryId: found[1], index: Number(found[2] ?? 0) };
}
