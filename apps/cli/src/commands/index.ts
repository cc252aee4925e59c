import type { Command } from "commander";
import { alertsCommand } from "./alerts.ts";
import { backupCommand } from "./backup.ts";
import { canScannerCommand } from "./can-scanner.ts";
import { checkBigQueryCommand } from "./check-bigquery.ts";
import { commandsCommand } from "./commands.ts";
import { demoCommand } from "./demo.ts";
import { devicesCommand } from "./devices.ts";
import { doctorCommand } from "./doctor.ts";
import { etlCommand } from "./etl.ts";
import { importCommand } from "./import.ts";
import { influxCommand } from "./influx.ts";
import { initialLoadCommand } from "./initial-load.ts";
import { lagCommand } from "./lag.ts";
import { ledgerCommand } from "./ledger.ts";
import { machinesCommand } from "./machines.ts";
import { migrateCommand } from "./migrate.ts";
import { migrateCanMessagesCommand } from "./migrate-can-messages.ts";
import { monitorCommand } from "./monitor.ts";
import { mosquittoCommand } from "./mosquitto.ts";
import { packsCommand } from "./packs.ts";
import { publishCommand } from "./publish.ts";
import { quarantineCommand } from "./quarantine.ts";
import { reconcileCommand } from "./reconcile.ts";
import { replayCommand } from "./replay.ts";
import { restoreCommand } from "./restore.ts";
import { seedCommand } from "./seed.ts";
import { simulateCommand } from "./simulate.ts";
import { statusCommand } from "./status.ts";
import { tailCommand } from "./tail.ts";
import { traceCommand } from "./trace.ts";
import { upCommand } from "./up.ts";
import { keysCommand, usersCommand } from "./users.ts";

/** Every command of the CLI, in the order of `--help`. */
export function commands(): Command[] {
  return [
    upCommand(),
    statusCommand(),
    doctorCommand(),
    lagCommand(),
    ledgerCommand(),
    alertsCommand(),
    monitorCommand(),
    tailCommand(),
    traceCommand(),
    devicesCommand(),
    commandsCommand(),
    usersCommand(),
    keysCommand(),
    mosquittoCommand(),
    publishCommand(),
    simulateCommand(),
    packsCommand(),
    demoCommand(),
    canScannerCommand(),
    importCommand(),
    initialLoadCommand(),
    checkBigQueryCommand(),
    etlCommand(),
    machinesCommand(),
    influxCommand(),
    reconcileCommand(),
    seedCommand(),
    replayCommand(),
    quarantineCommand(),
    backupCommand(),
    restoreCommand(),
    migrateCommand(),
    migrateCanMessagesCommand(),
  ];
}
