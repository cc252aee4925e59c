import type {
  BigQuery,
  BigQueryOptions,
  BigQueryTimestamp,
  QueryResultsOptions,
} from "@google-cloud/bigquery";
import { OutageError } from "@sluice/shared-types";

/** Where the readings are. Credentials come from GOOGLE_APPLICATION_CREDENTIALS, as with every Google client. */
export interface BigQuerySource {
  projectId: string;
  dataset: string;
  table: string;
  /** Instead of Google's own; for emulators. */
  endpoint?: string | undefined;
  /** Path of a credentials file, where it is not in the environment. */
  keyFilename?: string | undefined;
}

/** A row of `sensor_readings_ml`. */
export interface SourceReading {
  /** Microseconds since the epoch. */
  timeUs: number;
  node: string;
  name: string | null;
  /** flow_rate in L/s, pressure in bar, temperature in °C, volume in m³, quality_score: those that are not null. */
  values: Record<string, number>;
}

/** What a table holds. */
export interface SourceFacts {
  rows: number;
  nodes: number;
  first: string | null;
  last: string | null;
}

/** A table of readings in BigQuery. */
export interface ReadingSource {
  /** Whether it can be reached and read, and what it holds. */
  check(): Promise<SourceFacts>;
  /** Rows of [fromMs, toMs) in order of time, at most `pageSize` at a time in memory. */
  read(range: { fromMs: number; toMs: number }, pageSize: number): AsyncGenerator<SourceReading>;
}

/** What is asked for cannot be had, however often it is tried: not installed, not allowed, no such table. */
export class SourceError extends Error {
  override readonly name = "SourceError";
}

const MEASURES = ["flow_rate", "pressure", "temperature", "volume", "quality_score"] as const;
const IDENTIFIER = /^[A-Za-z0-9_-]{1,200}$/;

/**
 * Opens the table. The client library is an optional dependency: it is loaded here and nowhere else.
 * @throws SourceError where it is not installed, or a name is none
 */
export async function openBigQuery(source: BigQuerySource): Promise<ReadingSource> {
  const path = [source.projectId, source.dataset, source.table];
  if (!path.every((part) => IDENTIFIER.test(part)))
    throw new SourceError(`${path.join(".")} is not the name of a table`);
  const table = `\`${path.join(".")}\``;
  const client = await createClient(source);
  return {
    async check() {
      const [row] = await wrap(() =>
        client.query({
          query: `SELECT COUNT(*) AS n, COUNT(DISTINCT node_id) AS nodes, MIN(timestamp) AS first, MAX(timestamp) AS last FROM ${table}`,
        }),
      ).then(([rows]) => rows as FactsRow[]);
      const { n = 0, nodes = 0, first = null, last = null } = row ?? {};
      return {
        rows: Number(n),
        nodes: Number(nodes),
        first: first?.value ?? null,
        last: last?.value ?? null,
      };
    },
    async *read({ fromMs, toMs }, pageSize) {
      const query = `SELECT timestamp, node_id, node_name, ${MEASURES.join(", ")} FROM ${table}
        WHERE timestamp >= @from_time AND timestamp < @to_time ORDER BY timestamp`;
      const params = { from_time: new Date(fromMs), to_time: new Date(toMs) };
      const [job] = await wrap(() => client.createQueryJob({ query, params }));
      let page: QueryResultsOptions | null = { maxResults: pageSize, autoPaginate: false };
      while (page) {
        const wanted: QueryResultsOptions = page;
        const [rows, next] = await wrap(() => job.getQueryResults(wanted));
        for (const row of rows as ReadingRow[]) yield toReading(row);
        page = next ?? null;
      }
    },
  };
}

interface FactsRow {
  n: number;
  nodes: number;
  first: BigQueryTimestamp | null;
  last: BigQueryTimestamp | null;
}

type ReadingRow = { timestamp: BigQueryTimestamp; node_id: string; node_name: string | null } & Partial<
  Record<(typeof MEASURES)[number], number | null>
>;

function toReading(row: ReadingRow): SourceReading {
  const values: Record<string, number> = {};
  for (const measure of MEASURES) {
    const value = row[measure];
    if (typeof value === "number") values[measure] = value;
  }
  return { timeUs: microsOf(row.timestamp.value), node: row.node_id, name: row.node_name, values };
}

/** Microseconds of an ISO instant with up to six decimals. */
function microsOf(iso: string): number {
  const micros = Number((/\.(\d{1,6})/.exec(iso)?.[1] ?? "").padEnd(6, "0").slice(3));
  return Math.floor(Date.parse(iso)) * 1000 + micros;
}

async function createClient(source: BigQuerySource): Promise<BigQuery> {
  const { projectId, endpoint, keyFilename } = source;
  const options: BigQueryOptions = {
    projectId,
    ...(endpoint === undefined ? {} : { apiEndpoint: endpoint }),
    ...(keyFilename === undefined ? {} : { keyFilename }),
  };
  const library = await import("@google-cloud/bigquery").catch((cause: unknown) => {
    throw new SourceError(
      "BigQuery needs the package @google-cloud/bigquery: pnpm --filter @sluice/bigquery add @google-cloud/bigquery",
      { cause },
    );
  });
  return new library.BigQuery(options);
}

/** Refusals of the service are the caller's mistake or Google's outage: 4xx but for 408 and 429 do not pass by waiting. */
async function wrap<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    const { code, message } = cause as { code?: unknown; message?: string };
    const status = Number(code);
    const said = `bigquery: ${message ?? String(cause)}`;
    if (status >= 400 && status < 500 && status !== 408 && status !== 429)
      throw new SourceError(said, { cause });
    throw new OutageError("bigquery", said, undefined, { cause });
  }
}
