import { randomUUID } from "node:crypto";
import { startOfDate } from "@sluice/analytics";
import { openKeyValue } from "@sluice/bus";
import { type Db, finishRun, insertRun, openDb, putWaterNodes, readForeignReadings } from "@sluice/db";
import { createEngine, createWaterJob, runWaterCycle } from "@sluice/etl";
import { Command, InvalidArgumentError } from "commander";
import { CommandError } from "../command-error.ts";
import type { Table } from "../csv/open-table.ts";
import { timeZoneArgument } from "../id-argument.ts";
import { importTable } from "../import/import-table.ts";
import { openConfiguredBigQuery } from "../initial-load/big-query-settings.ts";
import { openWaterCsv } from "../initial-load/open-water-csv.ts";
import { createReadingsTable } from "../initial-load/readings-table.ts";
import { connectFor } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { integerBetween, numberBetween } from "../number-argument.ts";
import { note } from "../output.ts";

interface LoadOptions {
  startDate: number;
  endDate: number;
  batchSize: number;
  fromCsv?: string;
  fromPostgres?: string;
  table: string;
  node?: string;
  timeZone: string;
  wait: number;
  json?: boolean;
}

const DAY_MS = 86_400_000;
const FUTURE_MS = 3_600_000;

const HELP = `
Reads the whole of both days, UTC. Without --from-csv or --from-postgres the source is BigQuery, as the environment or
.env.processing names it. Readings go through the bus; running it again stores nothing twice. Rows dated more than an
hour in the future are named and not taken. Then the processing cycle computes what the readings changed.

Examples:
  $ ./sluice initial-load --start-date "2024-01-01" --end-date "2024-12-31" --batch-size 10000
  $ ./sluice initial-load --start-date 2024-01-01 --end-date 2024-12-31 --from-csv node.csv --time-zone Europe/Rome
  $ ./sluice initial-load --start-date 2024-01-01 --end-date 2024-12-31 --from-postgres postgresql://reader@old/abbanoa`;

/** `sluice initial-load`: the past of a water network. */
export function initialLoadCommand(): Command {
  return new Command("initial-load")
    .description("load the past of a water network from BigQuery, PostgreSQL or CSV, and compute its figures")
    .requiredOption("--start-date <date>", "first day, YYYY-MM-DD", dateArgument)
    .requiredOption("--end-date <date>", "last day, YYYY-MM-DD", dateArgument)
    .option("--batch-size <n>", "rows read at once from a database", integerBetween(1, 1_000_000), 10_000)
    .option("--from-csv <file>", "a raw export (DATA;ORA;…) or the columns of sensor_readings_ml")
    .option("--from-postgres <url>", "another database with a table of readings")
    .option("--table <name>", "that table", "water_infrastructure.sensor_readings")
    .option("--node <id>", "node of a raw export whose columns name none (default: the file's name)")
    .option("--time-zone <zone>", "of times without an offset", timeZoneArgument, "UTC")
    .option("--wait <seconds>", "how long storing may stand still", numberBetween(1, 86_400), 60)
    .option("--json", "print JSON")
    .addHelpText("after", HELP)
    .action(load);
}

function dateArgument(text: string): number {
  try {
    return startOfDate(text, "UTC");
  } catch {
    throw new InvalidArgumentError("Allowed: a date such as 2024-01-31.");
  }
}

async function load(options: LoadOptions, command: Command): Promise<void> {
  if (options.endDate < options.startDate) throw new CommandError("--end-date is before --start-date", 2);
  if (options.fromCsv !== undefined && options.fromPostgres !== undefined)
    throw new CommandError("give --from-csv or --from-postgres, not both", 2);
  const connection = connectFor(command);
  const db = await connection.openDb();
  const runId = randomUUID();
  const range = { fromMs: options.startDate, toMs: options.endDate + DAY_MS };
  try {
    // marks up to where figures were computed: what is loaded before that is due
    await runCycle(db, connection.urls.redis);
    const { startDate, endDate, ...configuration } = options;
    const run = { runId, job: "initial-load", jobType: "water_import", trigger: "manual" as const, ...range };
    await insertRun(db, { ...run, configuration: { ...configuration, fromPostgres: undefined } });
    const name = options.fromCsv ?? (options.fromPostgres === undefined ? "BigQuery" : options.table);
    const nodes = new Set<string>();
    const shared = { type: "water", timeZone: options.timeZone, notBefore: 0, wait: options.wait };
    await importTable(name, { ...shared, ...(options.json ? { json: true } : {}) }, command, () =>
      openSource(options, range).then((table) => ({ ...table, rows: noted(table.rows, nodes) })),
    );
    await putWaterNodes(
      db,
      [...nodes].sort().map((node) => ({ node })),
    );
    if (!options.json) note("computing what the readings changed …");
    const result = await runCycle(db, connection.urls.redis);
    const summary = { changed: result.changed, failed: result.failed.length };
    await finishRun(db, runId, { items: result.changed, summary });
    if (!options.json) note(`${result.changed} figures changed`);
    if (result.failed.length > 0) process.exitCode = 1;
  } catch (error) {
    const failure = error instanceof Error ? error : new Error(String(error));
    await finishRun(db, runId, { error: failure, attempts: 1 }).catch(() => {});
    throw error;
  } finally {
    await db.close();
  }
}

async function openSource(options: LoadOptions, range: { fromMs: number; toMs: number }): Promise<Table> {
  const latestUs = (Date.now() + FUTURE_MS) * 1000;
  const { fromCsv, fromPostgres, node, timeZone, batchSize, table } = options;
  if (fromCsv !== undefined)
    return openWaterCsv(fromCsv, {
      timeZone,
      fromUs: range.fromMs * 1000,
      toUs: range.toMs * 1000,
      latestUs,
      node,
    });
  if (fromPostgres !== undefined) {
    const source = await openDb(fromPostgres, { max: 1, applicationName: "sluice-initial-load" });
    const rows = renamed(readForeignReadings(source, table, range, batchSize));
    return createReadingsTable(rows, latestUs, () => source.close());
  }
  const { source } = await openConfiguredBigQuery();
  return createReadingsTable(source.read(range, batchSize), latestUs);
}

/** Rows as they are; notes whose they are: what is loaded here is a node, whatever it sends. */
async function* noted(rows: Table["rows"], nodes: Set<string>) {
  for await (const result of rows) {
    for (const node of result.row?.devices.keys() ?? []) nodes.add(node);
    yield result;
  }
}

async function* renamed(rows: ReturnType<typeof readForeignReadings>) {
  for await (const { timeUs, node, columns } of rows) yield { timeUs, node, values: columns };
}

async function runCycle(db: Db, redisUrl: string) {
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const cache = await openKeyValue(redisUrl);
  try {
    return await interruptible((signal) => {
      const engine = createEngine({ db, log, signal, holder: `cli ${randomUUID()}`, trigger: "manual" });
      return runWaterCycle(engine, { job: createWaterJob({ readers: db, parallelNodes: 2 }), cache });
    });
  } finally {
    await cache.close();
  }
}
