import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { openFrameLog } from "@sluice/bus";
import {
  CAN_STREAM,
  type CanFields,
  InvalidInputError,
  OutageError,
  parseCandump,
} from "@sluice/shared-types";
import { Command } from "commander";
import { CommandError } from "../command-error.ts";
import type { Connection } from "../connect.ts";
import { connectFor } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { note, printable, printJson, printLine } from "../output.ts";

const BATCH = 500;
const BAD_LINES_SHOWN = 10;

/** What was scanned. */
interface ScanReport {
  frames: number;
  badLines: number;
}

/** `sluice can-scanner`: frames of candump onto `can:raw`. */
export function canScannerCommand(): Command {
  return new Command("can-scanner")
    .description("append CAN frames, as candump prints or logs them, to the stream can:raw")
    .argument("<file...>", "candump logs in order; - is standard input")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
With -L a line carries the time at which the frame was seen; without, it is the time at which it is read. While Redis
is away it waits, and standard input with it. Scanning a log again stores nothing twice.
Exit code 1 if a line was no frame.

Examples:
  $ candump -L can0 | ./sluice can-scanner -
  $ ./sluice can-scanner candump-2026-01-27_060000.log`,
    )
    .action((files: string[], { json }: { json?: boolean }, self: Command) =>
      interruptible(async (signal) => {
        const log = await openTarget(connectFor(self));
        const report: ScanReport = { frames: 0, badLines: 0 };
        try {
          for (const file of files) await scan(file, log.append, report, signal);
        } finally {
          await log.close();
        }
        if (json) printJson(report);
        else
          printLine(`${report.frames} frames appended to ${CAN_STREAM}, ${report.badLines} lines were none`);
        if (report.badLines > 0) process.exitCode = 1;
      }),
    );
}

interface Target {
  append(rows: readonly CanFields[]): Promise<void>;
  close(): Promise<void>;
}

/** On Redis the entries have the documented fields; elsewhere a message is their JSON. */
async function openTarget(connection: Connection): Promise<Target> {
  if (/^rediss?:/.test(connection.urls.bus)) {
    const log = await openFrameLog(connection.urls.bus);
    return { append: (rows) => log.append(CAN_STREAM, rows), close: log.close };
  }
  const bus = await connection.openBus();
  return {
    append: async (rows) => {
      await bus.publish(
        CAN_STREAM,
        rows.map((row) => JSON.stringify(row)),
      );
    },
    close: bus.close,
  };
}

async function scan(
  file: string,
  append: Target["append"],
  report: ScanReport,
  signal: AbortSignal,
): Promise<void> {
  const input = file === "-" ? process.stdin : createReadStream(file);
  const stopped = () => input.destroy();
  signal.addEventListener("abort", stopped, { once: true });
  let waiting: CanFields[] = [];
  let sending: Promise<void> | undefined;
  let failure: unknown;
  const send = () => {
    const rows = waiting;
    waiting = [];
    sending = appendAll(append, rows, signal)
      .then(() => {
        report.frames += rows.length;
      })
      .catch((error: unknown) => {
        failure ??= error;
      })
      .finally(() => {
        sending = undefined;
        if (waiting.length > 0 && !failure) send();
      });
  };
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      const frame = readLine(line, report);
      if (frame) waiting.push(frame);
      if (!sending && waiting.length > 0) send();
      while (waiting.length >= BATCH && sending && !failure) await sending;
      if (failure) break;
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "EISDIR" || code === "EACCES")
      throw new CommandError(`${file} cannot be read: ${code}`, 2);
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener("abort", stopped);
  }
  while (sending) await sending;
  if (failure) throw failure;
}

function readLine(line: string, report: ScanReport): CanFields | undefined {
  try {
    return parseCandump(line, Date.now());
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    report.badLines++;
    if (report.badLines <= BAD_LINES_SHOWN) note(`no frame: ${printable(line, 80)}`);
    return undefined;
  }
}

/** Repeating is safe: the same frame is stored once. */
async function appendAll(
  append: Target["append"],
  rows: readonly CanFields[],
  signal: AbortSignal,
): Promise<void> {
  for (let told = false; ; ) {
    try {
      return await append(rows);
    } catch (error) {
      if (!(error instanceof OutageError) || signal.aborted) throw error;
      if (!told) note(`waiting for ${error.dependency}: ${error.message}`);
      told = true;
      await delay(500, undefined, { signal }).catch(() => {});
    }
  }
}
