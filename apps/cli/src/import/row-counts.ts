import type { RowResult, RowSkip } from "../csv/read-row.ts";

/** What was read from a file and what became of every row and every cell of it. */
export interface RowCounts {
  rowsRead: number;
  rowsWithReadings: number;
  /** Rows that hold no data, or whose data cannot be used (`bad_time`, `bad_device`, `out_of_bounds`). */
  rowsSkipped: Partial<Record<RowSkip, number>>;
  readings: number;
  cellsSkipped: RowResult["cellsSkipped"];
  /** Rows in the hour that happened twice, and in the hour that did not happen. */
  rowsInRepeatedHour: number;
  rowsInSkippedHour: number;
  firstUs: number | null;
  lastUs: number | null;
  /** The first rows whose data could not be used, by line. */
  badRows: { line: number; reason: RowSkip }[];
}

const BAD: ReadonlySet<RowSkip> = new Set(["bad_line", "bad_time", "bad_device", "out_of_bounds"]);
const BAD_ROWS_NAMED = 10;

export function createRowCounts(): RowCounts {
  return {
    rowsRead: 0,
    rowsWithReadings: 0,
    rowsSkipped: {},
    readings: 0,
    cellsSkipped: {},
    rowsInRepeatedHour: 0,
    rowsInSkippedHour: 0,
    firstUs: null,
    lastUs: null,
    badRows: [],
  };
}

/** Adds one row to the counts. */
export function countRow(counts: RowCounts, result: RowResult & { line: number }): void {
  counts.rowsRead++;
  for (const [reason, cells] of Object.entries(result.cellsSkipped) as [
    keyof RowResult["cellsSkipped"],
    number,
  ][]) {
    counts.cellsSkipped[reason] = (counts.cellsSkipped[reason] ?? 0) + cells;
  }
  if (result.skipped) {
    counts.rowsSkipped[result.skipped] = (counts.rowsSkipped[result.skipped] ?? 0) + 1;
    if (BAD.has(result.skipped) && counts.badRows.length < BAD_ROWS_NAMED) {
      counts.badRows.push({ line: result.line, reason: result.skipped });
    }
  }
  const { row } = result;
  if (!row) return;
  counts.rowsWithReadings++;
  counts.readings += row.readings;
  if (row.note === "repeated") counts.rowsInRepeatedHour++;
  if (row.note === "skipped") counts.rowsInSkippedHour++;
  counts.firstUs = Math.min(counts.firstUs ?? row.timeUs, row.timeUs);
  counts.lastUs = Math.max(counts.lastUs ?? row.timeUs, row.timeUs);
}
