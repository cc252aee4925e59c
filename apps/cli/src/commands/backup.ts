import { resolve } from "node:path";
import { Command } from "commander";
import { takeBackup } from "../backup/take-backup.ts";
import { connectFor } from "../installation.ts";
import { integerBetween } from "../number-argument.ts";
import { printJson, printLine } from "../output.ts";

const HELP = `
Everything accepted before the command is in it: as rows of the database (with the registry of devices), or as entries
that waited on the bus. secrets.json is in it, too: keep backups as safe as the installation itself. InfluxDB is not;
./sluice reconcile refills it from PostgreSQL.

Examples:
  $ ./sluice backup
  $ ./sluice backup --to /mnt/backups --keep 14
  $ DATABASE_URL=… REDIS_URL=… SLUICE_PEPPER=… ./sluice backup --to /mnt/backups`;

/** `sluice backup`: keep database, registry, secrets and what waits on the bus. */
export function backupCommand(): Command {
  return new Command("backup")
    .description("back up database, registry, secrets and what waits on the bus, while everything runs")
    .option("--to <folder>", "where backups are kept (default: backups in the data folder)")
    .option("--keep <n>", "remove all but the newest n afterwards", integerBetween(1, 10_000))
    .option("--json", "print one JSON object")
    .addHelpText("after", HELP)
    .action(async (options: { to?: string; keep?: number; json?: boolean }, command: Command) => {
      const connection = connectFor(command);
      const folder = resolve(options.to ?? `${connection.dataDir}/backups`);
      const { path, manifest, removed } = await takeBackup(connection, {
        folder,
        ...(options.keep === undefined ? {} : { keep: options.keep }),
      });
      const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
      const waiting = manifest.streams.reduce((sum, stream) => sum + stream.kept, 0);
      if (options.json)
        return printJson({
          path,
          rows,
          waiting,
          tables: manifest.tables,
          streams: manifest.streams,
          removed,
        });
      printLine(
        `${path}: ${rows} rows of ${manifest.tables.length} tables, ${waiting} messages that waited on the bus`,
      );
      for (const old of removed) printLine(`removed ${old}`);
    });
}
