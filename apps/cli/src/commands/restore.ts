import { resolve } from "node:path";
import { Command } from "commander";
import { restoreBackup } from "../backup/restore-backup.ts";
import { printJson, printLine } from "../output.ts";
import { readUpConfig } from "../up/up-config.ts";

const HELP = `
Stop Sluice first. The data folder must be empty, or DATABASE_URL and REDIS_URL name empty servers. Every table is
compared with the backup: row count and checksum. What waited on the bus is put back onto it, and streams count on from
where they stood. Then ./sluice up stores what waited, and ./sluice reconcile refills InfluxDB.

Examples:
  $ mv .sluice .sluice.old && ./sluice restore .sluice.old/backups/sluice-20261121T020000Z
  $ ./sluice restore /mnt/backups/sluice-20261121T020000Z --data-dir /srv/sluice`;

/** `sluice restore`: bring a backup back into an empty installation. */
export function restoreCommand(): Command {
  return new Command("restore")
    .description("restore a backup into an empty data folder or empty servers, and compare every table")
    .argument("<backup>", "a folder that ./sluice backup made")
    .option("--json", "print one JSON object")
    .addHelpText("after", HELP)
    .action(async (backup: string, options: { json?: boolean }, command: Command) => {
      const config = readUpConfig({ ...command.optsWithGlobals<{ dataDir?: string }>() });
      const report = await restoreBackup(resolve(backup), config);
      if (options.json) return printJson(report);
      printLine(
        `restored the backup of ${report.takenAt}: ${report.rows} rows, all ${report.tables} tables as they were`,
      );
      for (const [stream, messages] of Object.entries(report.messages))
        printLine(`${stream}: ${messages} messages wait`);
      if (report.migrated.length > 0) printLine(`then applied ${report.migrated.join(", ")}`);
      printLine("Next: ./sluice up");
    });
}
