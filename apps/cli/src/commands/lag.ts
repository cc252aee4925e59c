import { setTimeout as delay } from "node:timers/promises";
import type { Bus } from "@sluice/bus";
import Table from "cli-table3";
import { Command, Option } from "commander";
import { pc } from "../colours.ts";
import { environment } from "../environment.ts";
import { allStreams, connectFor } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import {
  type GroupReport,
  type MemoryReport,
  reportMemory,
  reportStream,
  type StreamReport,
  type StreamSample,
  sampleStream,
} from "../lag-report.ts";
import { integerBetween, numberBetween } from "../number-argument.ts";
import { formatBytes, formatDuration, note, printJson, printJsonLine, printLine } from "../output.ts";

const HELP = `
unread, pending: messages; in brackets the entries they are packed in, which is what XINFO GROUPS (lag) and
XPENDING count. parked: moved to PostgreSQL because the group is far behind, written when it is back. "unknown" is what Redis does not know. Rates are taken over one interval.

Examples:
  $ ./sluice lag --watch
  $ ./sluice lag --check --warn 10000    exit code 1 if a group has 10,000 unread messages or more`;

interface LagOptions {
  watch?: boolean;
  check?: boolean;
  warn: number;
  interval: number;
  json?: boolean;
}

interface Report {
  streams: StreamReport[];
  memory: MemoryReport;
  warnings: string[];
}

/** `sluice lag`: how far every consumer group is behind. */
export function lagCommand(): Command {
  return new Command("lag")
    .description("per stream and consumer group: length, unread, pending, rates, time to drain")
    .option("--watch", "go on until Ctrl-C")
    .option("--check", "exit code 1 if a group has too many unread messages")
    .addOption(
      new Option("--warn <messages>", "unread messages from which on a group is warned of")
        .env("SLUICE_LAG_WARN")
        .default(5000)
        .argParser(integerBetween(1, Number.MAX_SAFE_INTEGER)),
    )
    .option("--interval <seconds>", "time between two looks", numberBetween(0.2, 3600), 1)
    .option("--json", "print JSON; with --watch one line per look")
    .addHelpText("after", HELP)
    .action(async (options: LagOptions, command: Command) => {
      const bus = await connectFor(command).openBus();
      try {
        await interruptible((signal) => show(bus, options, signal));
      } finally {
        await bus.close();
      }
    });
}

async function show(bus: Bus, options: LagOptions, signal: AbortSignal): Promise<void> {
  const pause = () => delay(options.interval * 1000, undefined, { signal }).catch(() => {});
  let before = await sampleAll(bus);
  do {
    await pause();
    if (signal.aborted) return;
    const now = await sampleAll(bus);
    const report = compare(before, now, options.warn);
    before = now;
    print(report, options);
    if (options.check) process.exitCode = report.warnings.length > 0 ? 1 : 0;
  } while (options.watch);
}

type Samples = Map<string, StreamSample>;

async function sampleAll(bus: Bus): Promise<Samples> {
  const samples: Samples = new Map();
  for (const stream of allStreams()) {
    const sample = await sampleStream(bus, stream);
    if (sample) samples.set(stream, sample);
  }
  return samples;
}

function compare(before: Samples, now: Samples, warnUnread: number): Report {
  const streams = [...now].map(([key, sample]) => reportStream(before.get(key), sample, warnUnread));
  const [first] = now;
  const memory = first
    ? reportMemory(before.get(first[0]), first[1], highWater())
    : {
        usedBytes: null,
        maxBytes: null,
        highWater: highWater(),
        pastHighWater: false,
        secondsUntilFull: null,
      };
  const warnings = streams.flatMap(({ stream, groups }) =>
    groups
      .filter(({ warning }) => warning)
      .map(
        ({ group, unread }) =>
          `${group} of ${stream} has ${unread} unread messages (warning from ${warnUnread})`,
      ),
  );
  return { streams, memory, warnings };
}

function print(report: Report, { json, watch }: LagOptions): void {
  if (json) {
    if (watch) printJsonLine(report);
    else printJson(report);
    return;
  }
  if (watch && process.stdout.isTTY) process.stdout.write("\x1b[H\x1b[2J");
  const table = new Table({
    head: [
      "stream / group",
      "length",
      "unread",
      "pending",
      "parked",
      "oldest pending",
      "in /s",
      "out /s",
      "drained in",
      "consumers",
    ],
    style: { head: [], border: [] },
    colAligns: ["left", "right", "right", "right", "right", "right", "right", "right", "right", "left"],
  });
  for (const stream of report.streams) {
    const held = stream.messages === null ? "unknown" : String(stream.messages);
    table.push([
      pc.bold(stream.stream),
      `${held} (${stream.entries})`,
      "",
      "",
      "",
      "",
      stream.rateIn,
      "",
      "",
      "",
    ]);
    for (const group of stream.groups) table.push(groupRow(group));
  }
  printLine(report.streams.length === 0 ? "no stream has a message yet" : table.toString());
  printLine(memoryLine(report.memory));
  for (const warning of report.warnings) note(pc.yellow(`warning: ${warning}`));
}

function groupRow(group: GroupReport): (string | number)[] {
  const unread = `${group.unread} (${group.unreadEntries ?? "unknown"})`;
  return [
    `  ${group.group}`,
    "",
    group.warning ? pc.yellow(unread) : unread,
    `${group.pending} (${group.pendingEntries})`,
    group.parked === 0 ? 0 : pc.yellow(String(group.parked)),
    group.oldestPendingMs === null ? "-" : formatDuration(group.oldestPendingMs),
    "",
    group.rateOut,
    group.drainSeconds === null ? "not at these rates" : formatDuration(group.drainSeconds * 1000),
    group.consumers.map(({ name, pending }) => `${name} (${pending})`).join(", ") || "none",
  ];
}

const highWater = () => Number(environment.SLUICE_HIGH_WATER) || 0.8;

function memoryLine({
  usedBytes,
  maxBytes,
  secondsUntilFull,
  pastHighWater,
  highWater,
}: MemoryReport): string {
  if (usedBytes === null) return "memory: unknown";
  const limit = maxBytes === null ? "no limit" : formatBytes(maxBytes);
  const full =
    secondsUntilFull === null ? "" : `; full in ${formatDuration(secondsUntilFull * 1000)} at this rate`;
  const mark = maxBytes === null ? "" : `; the gateway refuses from ${formatBytes(maxBytes * highWater)}`;
  const refusing = pastHighWater ? pc.red(" and does now") : "";
  return `memory: ${formatBytes(usedBytes)} of ${limit}${full}${mark}${refusing}`;
}
