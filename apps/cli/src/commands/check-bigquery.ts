import { Command } from "commander";
import { explained, openConfiguredBigQuery } from "../initial-load/big-query-settings.ts";
import { printJson, printLine } from "../output.ts";

/** `sluice check-bigquery`: can the table be read, and what is in it. */
export function checkBigQueryCommand(): Command {
  return new Command("check-bigquery")
    .description("connect to BigQuery and say what its table of readings holds")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Reads GOOGLE_APPLICATION_CREDENTIALS, BIGQUERY_PROJECT_ID, BIGQUERY_DATASET (water_infrastructure) and BIGQUERY_TABLE
(sensor_readings_ml), from the environment or .env.processing.

Example:
  $ ./sluice check-bigquery`,
    )
    .action(async ({ json }: { json?: boolean }) => {
      const { source, table } = await openConfiguredBigQuery();
      const facts = await explained(() => source.check());
      if (json) printJson({ connected: true, table, ...facts });
      else {
        printLine("Connected");
        printLine(
          `${table}: ${facts.rows} rows of ${facts.nodes} nodes, ${facts.first ?? "-"} to ${facts.last ?? "-"}`,
        );
      }
    });
}
