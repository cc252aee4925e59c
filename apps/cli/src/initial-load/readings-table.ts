import { DEVICE_ID } from "@sluice/shared-types";
import type { Table } from "../csv/open-table.ts";
import type { RowResult } from "../csv/read-row.ts";
import { slug } from "../greenhouse/header.ts";

/** A row of a source that is no file: values by measure, null where there is none. */
export interface SourceRow {
  timeUs: number;
  node: string;
  values: Readonly<Record<string, unknown>>;
}

/** Columns of the document's tables that are measures; `total_flow` is what its PostgreSQL table calls `volume`. */
export const MEASURES: Readonly<Record<string, string>> = {
  flow_rate: "flow_rate",
  pressure: "pressure",
  temperature: "temperature",
  volume: "volume",
  total_flow: "volume",
  quality_score: "quality_score",
};

/**
 * Rows of a database as a table that can be imported. Rows after `latestUs` are named and not taken; `close` is called
 * when there are no more.
 */
export function createReadingsTable(
  rows: AsyncIterable<SourceRow>,
  latestUs: number,
  close: () => Promise<void> = async () => {},
): Table {
  return {
    map: { timeColumn: 0, deviceColumn: 1, columns: [], numbers: { decimal: "." }, width: 0 },
    sizeBytes: 0,
    readBytes: () => 0,
    rows: readRows(rows, latestUs, close),
    close,
  };
}

async function* readRows(
  rows: AsyncIterable<SourceRow>,
  latestUs: number,
  close: () => Promise<void>,
): AsyncGenerator<RowResult & { line: number }> {
  let line = 0;
  try {
    for await (const { timeUs, node, values } of rows) {
      yield { line: ++line, ...toResult(timeUs, node, values, latestUs) };
    }
  } finally {
    await close();
  }
}

function toResult(timeUs: number, node: string, values: SourceRow["values"], latestUs: number): RowResult {
  if (timeUs > latestUs) return { skipped: "out_of_bounds", cellsSkipped: {} };
  const device = toNodeId(node);
  if (device === undefined) return { skipped: "bad_device", cellsSkipped: {} };
  const readings: Record<string, number> = {};
  for (const [column, measure] of Object.entries(MEASURES)) {
    const value = values[column];
    if (typeof value === "number" && Number.isFinite(value)) readings[measure] = value;
  }
  const count = Object.keys(readings).length;
  if (count === 0) return { skipped: "no_value", cellsSkipped: {} };
  return { row: { timeUs, devices: new Map([[device, readings]]), readings: count }, cellsSkipped: {} };
}

/** A node's id as it is where it may be a device's, else in lower-case words; undefined where nothing is left. */
export function toNodeId(node: string): string | undefined {
  const text = node.trim();
  if (DEVICE_ID.test(text)) return text;
  const id = slug(text, "-").slice(0, 64);
  return id === "" ? undefined : id;
}
