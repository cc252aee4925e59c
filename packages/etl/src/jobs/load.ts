import { type DerivedRow, type DerivedTable, deleteRows, type Transaction, upsertRows } from "@sluice/db";
import type { JobOutput } from "../job.ts";

/** Loads outputs as they are: rows are put in place, those that are no more are taken away. How many changed. */
export async function loadOutputs(tx: Transaction, outputs: readonly JobOutput[]): Promise<number> {
  let changed = 0;
  for (const { table, rows, gone = [] } of outputs) {
    if (rows.length > 0) changed += await upsertRows(tx, table, rows);
    if (gone.length > 0) changed += await deleteRows(tx, table, gone);
  }
  return changed;
}

/** Rows, and the keys of those that were there `before` and are no more. */
export function replaceRows(
  table: DerivedTable,
  rows: readonly DerivedRow[],
  before: readonly DerivedRow[],
): JobOutput {
  const keyOf = (row: DerivedRow) => JSON.stringify(Object.keys(table.keys).map((key) => row[key]));
  const now = new Set(rows.map(keyOf));
  return { table, rows, gone: before.filter((row) => !now.has(keyOf(row))) };
}

/** Four decimals, as the BI tables keep figures. */
export const round4 = (value: number | undefined): number | null =>
  value === undefined ? null : Number(value.toFixed(4));
