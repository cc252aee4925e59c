import type { Bus } from "@sluice/bus";
import { countReadings, type Db, noteUnits, type Series } from "@sluice/db";
import { createMessageBuilder, waitProcessed } from "@sluice/intake";
import type { OutageError } from "@sluice/shared-types";
import type { Table } from "../csv/open-table.ts";
import { findOutcome, type ImportOutcome } from "./find-outcome.ts";
import { type Published, publishRows } from "./publish-rows.ts";

/** Where an import is. */
export interface ImportProgress {
  step: "reading" | "storing";
  readBytes: number;
  readings: number;
  /** Messages of everybody that the workers have not stored yet. */
  waiting: number;
}

/** How to import. */
export interface ImportOptions {
  type: string;
  replace: boolean;
  partitions: number;
  /** How long storing may stand still; 0 does not wait for it. */
  stallMs: number;
  signal: AbortSignal;
  onProgress(progress: ImportProgress): void;
  onOutage(error: OutageError): void;
}

/** What an import did. */
export interface ImportResult {
  published: Published;
  series: Series[];
  /** undefined where it was not waited for, or did not come. */
  outcome: ImportOutcome | undefined;
}

/** Publishes a table, waits until it is stored and counts what became of every reading. */
export async function runImport(
  bus: Bus,
  db: Db,
  table: Table,
  options: ImportOptions,
): Promise<ImportResult> {
  const since = new Date(Date.now() - 60_000);
  const builder = createMessageBuilder({
    type: options.type,
    receivedUs: Date.now() * 1000,
    replace: options.replace,
  });
  const series: Series[] = [];
  let before = 0;
  let readings = 0;
  const published = await publishRows(bus, table, builder, {
    partitions: options.partitions,
    signal: options.signal,
    onOutage: options.onOutage,
    onSeries: async (fresh) => {
      series.push(...fresh);
      before += await countReadings(db, fresh);
    },
    onProgress: (counts) => {
      readings = counts.readings;
      options.onProgress({ step: "reading", readBytes: table.readBytes(), readings, waiting: 0 });
    },
  });
  if (options.stallMs === 0) return { published, series, outcome: undefined };
  const processed = await waitProcessed(bus, published.last, {
    signal: options.signal,
    stallMs: options.stallMs,
    onWaiting: (waiting) =>
      options.onProgress({ step: "storing", readBytes: table.sizeBytes, readings, waiting }),
  });
  if (!processed) return { published, series, outcome: undefined };
  await noteUnits(db, unitsOf(table, series));
  return { published, series, outcome: await findOutcome(db, published, series, before, since) };
}

function unitsOf(table: Table, series: readonly Series[]): (Series & { unit: string })[] {
  const { columns } = table.map;
  const ofColumn = columns.filter(({ unit }) => unit !== "");
  const fixed = new Map(ofColumn.map((c) => [`${c.device ?? ""} ${c.field}`, c.unit]));
  return series.flatMap((s) => {
    const unit = fixed.get(`${s.device} ${s.field}`) ?? fixed.get(` ${s.field}`);
    return unit === undefined ? [] : [{ ...s, unit }];
  });
}
