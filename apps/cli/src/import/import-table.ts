import type { OutageError } from "@sluice/shared-types";
import { SingleBar } from "cli-progress";
import type { Command } from "commander";
import type { Table } from "../csv/open-table.ts";
import { connectFor, partitionCount } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { note, printJson } from "../output.ts";
import type { CommonOptions } from "./import-options.ts";
import { createImportReport, printImportReport, printMap } from "./import-report.ts";
import { type ImportProgress, type ImportResult, runImport } from "./run-import.ts";

/** Imports what `open` gives, as the options say. */
export async function importTable(
  file: string,
  options: CommonOptions,
  command: Command,
  open: () => Promise<Table>,
): Promise<void> {
  const table = await open();
  if (options.showMap) {
    if (options.json) printJson(table.map.columns);
    else printMap(table);
    await table.close();
    return;
  }
  const connection = connectFor(command);
  const bus = await connection.openBus();
  try {
    const db = await connection.openDb();
    try {
      await interruptible(async (signal) => {
        const progress = createProgress(table, options.json === true);
        const result = await runImport(bus, db, table, {
          type: options.type,
          replace: options.replace === true,
          partitions: partitionCount(),
          stallMs: options.wait * 1000,
          signal,
          onProgress: progress.show,
          onOutage: progress.outage,
        }).finally(progress.stop);
        finish(file, result, options);
      });
    } finally {
      await db.close();
    }
  } finally {
    await bus.close();
  }
}

function finish(file: string, result: ImportResult, options: CommonOptions): void {
  const report = createImportReport(file, result);
  if (options.json) printJson(report);
  else printImportReport(report);
  const { bad_line = 0, bad_time = 0, bad_device = 0, out_of_bounds = 0 } = report.rowsSkipped;
  const unfinished = options.wait > 0 && report.stored === null;
  if (!report.complete) note("interrupted: run it again, what is stored already stays once");
  else if (unfinished) {
    note(
      "accepted and safe on the bus, but not stored yet: does stream-worker run? see ./sluice status and ./sluice lag",
    );
  }
  if (report.readingsAccepted === 0) note(`${file}: no reading in it`);
  const refused = (report.quarantined ?? 0) > 0 || bad_line + bad_time + bad_device + out_of_bounds > 0;
  if (!report.complete || unfinished || refused || report.readingsAccepted === 0) process.exitCode = 1;
}

/** A bar on a terminal; elsewhere only what holds it up. */
function createProgress(table: Table, quiet: boolean) {
  const bar =
    process.stderr.isTTY && !quiet
      ? new SingleBar({
          format: "{step} [{bar}] {percentage}% | {readings} readings{waiting}",
          hideCursor: true,
          stream: process.stderr,
        })
      : undefined;
  bar?.start(table.sizeBytes, 0, { step: "reading", readings: 0, waiting: "" });
  let told = "";
  return {
    show({ step, readBytes, readings, waiting }: ImportProgress) {
      const behind = step === "storing" ? ` | ${waiting} messages to be stored` : "";
      bar?.update(readBytes, { step, readings, waiting: behind });
    },
    outage(error: OutageError) {
      if (error.message === told) return;
      told = error.message;
      note(`waiting for ${error.dependency}: ${error.message}`);
    },
    stop: () => bar?.stop(),
  };
}
