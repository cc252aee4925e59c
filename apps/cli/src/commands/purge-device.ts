import { publishTombstone } from "@sluice/bus";
import { countReadingsOf, type Db, findTombstone, getDevice, type TombstoneState } from "@sluice/db";
import { Argument, Command } from "commander";
import { CommandError } from "../command-error.ts";
import { deviceIdArgument } from "../id-argument.ts";
import { partitionCount, withDb } from "../installation.ts";
import { note, printJson, printLine } from "../output.ts";
import { timeArgument } from "../time-argument.ts";

interface PurgeOptions {
  from: number;
  to: number;
  dryRun?: boolean;
  json?: boolean;
}

const WAIT_MS = 60_000;
const LOOK_EVERY_MS = 200;

/** `sluice devices purge`: deletes a device's readings of a range of time, in every sink. */
export function purgeCommand(): Command {
  return new Command("purge")
    .description("delete a device's readings of a range of time, in PostgreSQL and InfluxDB, for good")
    .addArgument(new Argument("<id>", "device id").argParser(deviceIdArgument))
    .requiredOption("--from <time>", "first instant, ISO 8601", timeArgument)
    .requiredOption("--to <time>", "end, not included, ISO 8601", timeArgument)
    .option("--dry-run", "only count what would go")
    .option("--json", "print JSON: { device, readings, deleted, message_id }")
    .addHelpText(
      "after",
      "\nExample:\n  $ ./sluice devices purge greenhouse-1 --from 2026-11-01 --to 2026-11-02T12:00Z --dry-run",
    )
    .action(async (device: string, options: PurgeOptions, command: Command) => {
      const { from: fromUs, to: toUs } = options;
      if (fromUs >= toUs) throw new CommandError("--from must be before --to", 2);
      await withDb(command, async (db, { openBus }) => {
        await getDevice(db, device);
        const readings = await countReadingsOf(db, device, fromUs, toUs);
        if (options.dryRun) {
          if (options.json) printJson({ device, readings, deleted: 0 });
          else printLine(`${readings} readings would be deleted`);
          return;
        }
        const bus = await openBus();
        const published = publishTombstone(
          bus,
          { device, fromUs, toUs },
          { partitions: partitionCount() },
        ).finally(() => bus.close());
        const { id } = await published;
        const { readingsDeleted } = await untilApplied(db, id);
        if (options.json) printJson({ device, readings, deleted: readingsDeleted, message_id: id });
        else printLine(`${readingsDeleted} readings deleted`);
        note("InfluxDB follows by itself; rollups are built anew. Refusals stay in quarantine.");
      });
    });
}

/** Once PostgreSQL is done: readings of the range that are sent from now on are new ones. */
async function untilApplied(db: Db, id: string): Promise<TombstoneState> {
  for (const untilMs = Date.now() + WAIT_MS; Date.now() < untilMs; ) {
    const state = await findTombstone(db, id);
    if (state?.applied) return state;
    await new Promise((resume) => setTimeout(resume, LOOK_EVERY_MS));
  }
  throw new CommandError(
    `the deletion ${id} is on its way, but the worker has not come to it within a minute: ./sluice lag`,
  );
}
