import { findCanMessages, openDb } from "@sluice/db";
import { NotFoundError } from "@sluice/shared-types";
import { Command } from "commander";
import { type CanMigrationReport, migrateCanMessages } from "../can/migrate-can-messages.ts";
import { CommandError } from "../command-error.ts";
import { timeZoneArgument } from "../id-argument.ts";
import { connectFor, partitionCount } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { numberBetween } from "../number-argument.ts";
import { note, printJson, printLine } from "../output.ts";

interface Flags {
  from?: string;
  timeZone: string;
  wait: number;
  again?: boolean;
  json?: boolean;
}

/** `sluice migrate-can-messages`: rows of the old CAN table into the new schema. */
export function migrateCanMessagesCommand(): Command {
  return new Command("migrate-can-messages")
    .description("take over the rows of an old can_messages table, and compare every one with what is stored")
    .option("--from <database>", "postgres:// URL of the old database (default: this installation's own)")
    .option("--time-zone <zone>", "of times without one", timeZoneArgument, "UTC")
    .option("--again", "take every row again, not only those after the last one taken")
    .option("--wait <seconds>", "how long storing may stand still", numberBetween(1, 86_400), 60)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The old table is only read. It may be interrupted: running it again goes on where it was. Node 1 is the flower room's
back, 2 its front, 3 the veg room, 4 the lab, 5 outside; rows of any other node go to quarantine.
Exit code 0 only if every old row that can be used is stored with its time and value.

Example:
  $ ./sluice migrate-can-messages`,
    )
    .action((flags: Flags, self: Command) => interruptible((signal) => run(flags, self, signal)));
}

async function run(flags: Flags, self: Command, signal: AbortSignal): Promise<void> {
  const connection = connectFor(self);
  const db = await connection.openDb();
  const old = flags.from === undefined ? db : await openDb(flags.from, { max: 1 });
  const bus = await connection.openBus();
  try {
    const source = await findCanMessages(old, flags.timeZone).catch((error: unknown) => {
      throw error instanceof NotFoundError ? new CommandError(error.message, 2) : error;
    });
    const report = await migrateCanMessages(source, bus, db, {
      partitions: partitionCount(),
      stallMs: flags.wait * 1000,
      again: flags.again === true,
      signal,
      onProgress: (rows) => {
        if (!flags.json) note(`${rows} rows read`);
      },
    });
    if (flags.json) printJson(report);
    else print(report);
    if (!report.complete || !report.verified) process.exitCode = 1;
  } finally {
    await bus.close();
    if (old !== db) await old.close();
    await db.close();
  }
}

function print(report: CanMigrationReport): void {
  printLine(`rows of can_messages  ${report.rows}, ${report.from ?? "-"} to ${report.to ?? "-"}`);
  printLine(`rows migrated         ${report.rowsMigrated}`);
  for (const [reason, rows] of Object.entries(report.rowsRefused))
    printLine(`rows refused          ${rows} ${reason}`);
  printLine(`readings              ${report.readings}`);
  printLine(
    `verified              ${report.verified ? "yes" : "NO"}: ${report.missing} missing, ${report.different} different`,
  );
  for (const s of report.sensors)
    printLine(
      `  ${s.sensor}: ${s.readings} readings (${s.nulls} null), ${s.min} to ${s.max}, ${s.first} to ${s.last}`,
    );
  for (const problem of report.problems) note(problem);
}
