import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { isoOf } from "@sluice/intake";
import { createTopics, DEFAULT_CLOCK_POLICY } from "@sluice/shared-types";
import { Command } from "commander";
import type { Table } from "../csv/open-table.ts";
import type { DataRow } from "../csv/read-row.ts";
import type { Fleet } from "../fleet/open-fleet.ts";
import { provisionFleet } from "../fleet/provision-fleet.ts";
import { timeZoneArgument } from "../id-argument.ts";
import { openGreenhouse } from "../import/open-greenhouse.ts";
import { countRow, createRowCounts, type RowCounts } from "../import/row-counts.ts";
import { connectFor } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { numberBetween } from "../number-argument.ts";
import { note, printJson, printLine } from "../output.ts";

const MAX_CONNECTIONS = 200;
const MAX_OUTSTANDING = 20_000;
const WAIT_MS = 20;

interface ReplayOptions {
  speed: number;
  now?: boolean;
  device: string;
  timeZone: string;
  drain: number;
  json?: boolean;
}

const HELP = `
Every device of the file gets its own connection (up to ${MAX_CONNECTIONS}) and publishes its rows with QoS 1, boot and seq, in the
pace of the file times --speed. Times are the file's, so that a replay of what was imported stores nothing twice.
The gateway takes device times before 2020 for an unset clock: such rows are left out and counted; import takes
them, or --now dates every row when it is sent. Exit code 0 only if every message was acknowledged.

Example:
  $ ./sluice replay one-month-every-5-minutes.csv --speed 3000 --now`;

/** `sluice replay`: a file as a live fleet. */
export function replayCommand(): Command {
  return new Command("replay")
    .description("publish a greenhouse file over MQTT, as a live fleet")
    .argument("<file>", "CSV file")
    .option("--speed <x>", "times faster than the file", numberBetween(0.1, 1_000_000_000), 60)
    .option("--now", "date every row when it is sent")
    .option("--device <prefix>", "device ids begin with it", "greenhouse")
    .option("--time-zone <zone>", "IANA zone of the file's times", timeZoneArgument, "Europe/Amsterdam")
    .option("--drain <s>", "how long to wait for the last acknowledgements", numberBetween(0, 86_400), 60)
    .option("--json", "print JSON")
    .addHelpText("after", HELP)
    .action((file: string, options: ReplayOptions, command: Command) =>
      interruptible((signal) => replay(file, options, command, signal)),
    );
}

async function replay(
  file: string,
  options: ReplayOptions,
  command: Command,
  signal: AbortSignal,
): Promise<void> {
  const table = await openGreenhouse(file, {
    prefix: options.device,
    timeZone: options.timeZone,
    bounds: { fromUs: options.now ? 0 : DEFAULT_CLOCK_POLICY.minUs, toUs: Date.now() * 1000 },
  });
  const connection = connectFor(command);
  const devices = [...new Set(table.map.columns.map(({ device }) => device ?? options.device))];
  const boot = `${Date.now().toString(36)}-${randomBytes(3).toString("hex")}`;
  const db = await connection.openDb();
  const fleet = await provisionFleet(db, connection.pepper(), {
    url: connection.urls.mqtt,
    username: `fleet_replay_${options.device}`,
    devices,
    type: "greenhouse",
    connections: Math.min(devices.length, MAX_CONNECTIONS),
    clientId: `replay-${boot}`,
  }).finally(() => db.close());
  try {
    const sender = createSender(fleet, {
      devices,
      boot,
      topicRoot: connection.topicRoot,
      now: options.now === true,
    });
    const counts = await sendRows(table, sender, fleet, options, signal);
    await drain(fleet, options.drain * 1000, signal);
    finish(file, counts, sender.report(), fleet, options, signal);
  } finally {
    await fleet.close();
    await table.close();
  }
}

interface Sender {
  send(row: DataRow): void;
  report(): { sent: number; readings: number; acknowledged: number };
}

interface SenderOptions {
  devices: readonly string[];
  boot: string;
  topicRoot: string;
  now: boolean;
}

function createSender(fleet: Fleet, { devices, boot, topicRoot, now }: SenderOptions): Sender {
  const topics = createTopics(topicRoot);
  const numbers = new Map(devices.map((device, i) => [device, i]));
  const seqs = new Map<string, number>();
  const counts = { sent: 0, readings: 0, acknowledged: 0 };
  let lastUs = 0;
  return {
    report: () => counts,
    send(row) {
      // never the same instant twice: two rows would be one
      const nowUs = Math.max(Date.now() * 1000, lastUs + 1000);
      lastUs = nowUs;
      for (const [device, data] of row.devices) {
        const seq = (seqs.get(device) ?? 0) + 1;
        seqs.set(device, seq);
        const payload = JSON.stringify({ ts: isoOf(now ? nowUs : row.timeUs), boot, seq, data });
        counts.sent++;
        counts.readings += Object.keys(data).length;
        fleet.publish(
          numbers.get(device) ?? 0,
          topics.telemetry(device),
          payload,
          () => counts.acknowledged++,
        );
      }
    },
  };
}

async function sendRows(
  table: Table,
  sender: Sender,
  fleet: Fleet,
  { speed }: ReplayOptions,
  signal: AbortSignal,
): Promise<RowCounts> {
  const counts = createRowCounts();
  const startMs = performance.now();
  let firstUs: number | undefined;
  for await (const result of table.rows) {
    countRow(counts, result);
    if (!result.row) continue;
    firstUs ??= result.row.timeUs;
    const dueMs = startMs + (result.row.timeUs - firstUs) / 1000 / speed;
    while (!signal.aborted && (performance.now() < dueMs || fleet.unacknowledged() >= MAX_OUTSTANDING)) {
      const waitMs = Math.min(1000, Math.max(WAIT_MS, dueMs - performance.now()));
      await delay(waitMs, undefined, { signal }).catch(() => {});
    }
    if (signal.aborted) return counts;
    sender.send(result.row);
  }
  return counts;
}

async function drain(fleet: Fleet, drainMs: number, signal: AbortSignal): Promise<void> {
  const untilMs = performance.now() + (signal.aborted ? Math.min(2000, drainMs) : drainMs);
  while (fleet.unacknowledged() > 0 && performance.now() < untilMs) await delay(WAIT_MS);
}

function finish(
  file: string,
  rows: RowCounts,
  sent: ReturnType<Sender["report"]>,
  fleet: Fleet,
  { json }: ReplayOptions,
  signal: AbortSignal,
): void {
  const unacknowledged = sent.sent - sent.acknowledged;
  const { count: connectionLosses } = fleet.losses();
  const { rowsRead, rowsWithReadings, rowsSkipped, cellsSkipped } = rows;
  const complete = !signal.aborted;
  if (json) {
    printJson({
      file,
      complete,
      rowsRead,
      rowsWithReadings,
      rowsSkipped,
      cellsSkipped,
      ...sent,
      unacknowledged,
      connectionLosses,
    });
  } else {
    const skipped = Object.entries(rowsSkipped).map(([why, n]) => `${n} ${why}`);
    printLine(
      `rows            ${rowsRead} read, ${rowsWithReadings} with readings${skipped.length > 0 ? `, skipped ${skipped.join(", ")}` : ""}`,
    );
    printLine(`sent            ${sent.sent} messages, ${sent.readings} readings`);
    printLine(`acknowledged    ${sent.acknowledged}`);
    printLine(`unacknowledged  ${unacknowledged}`);
  }
  if (!complete) note("interrupted");
  if (rowsSkipped.out_of_bounds)
    note(`${rowsSkipped.out_of_bounds} rows are before 2020 or in the future: import takes them, or --now`);
  if (unacknowledged > 0 || !complete || sent.sent === 0) process.exitCode = 1;
}
