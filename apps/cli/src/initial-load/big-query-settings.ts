import { openBigQuery, type ReadingSource, SourceError } from "@sluice/bigquery";
import { createConfig, loadConfig } from "@sluice/service-kit";
import { CommandError } from "../command-error.ts";
import { environment } from "../environment.ts";

const Settings = createConfig(
  "GOOGLE_APPLICATION_CREDENTIALS",
  "BIGQUERY_PROJECT_ID",
  "BIGQUERY_DATASET",
  "BIGQUERY_TABLE",
  "BIGQUERY_ENDPOINT",
);

/** The table that the environment names. @throws CommandError where it names none, or it cannot be opened */
export async function openConfiguredBigQuery(): Promise<{ source: ReadingSource; table: string }> {
  const settings = loadConfig(Settings, environment);
  const { BIGQUERY_PROJECT_ID: projectId, BIGQUERY_DATASET: dataset, BIGQUERY_TABLE: table } = settings;
  if (projectId === undefined) throw new CommandError("BIGQUERY_PROJECT_ID is not set", 2);
  const source = await explained(() =>
    openBigQuery({
      projectId,
      dataset,
      table,
      endpoint: settings.BIGQUERY_ENDPOINT,
      keyFilename: settings.GOOGLE_APPLICATION_CREDENTIALS,
    }),
  );
  return { source, table: `${projectId}.${dataset}.${table}` };
}

/** Says in one line what BigQuery refuses. */
export async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SourceError) throw new CommandError(error.message, 1, { cause: error });
    throw error;
  }
}
