import { isoOf } from "@sluice/intake";
import type { Table } from "../csv/open-table.ts";
import { note, printLine } from "../output.ts";
import type { ImportResult } from "./run-import.ts";

/** What `import` prints: every row and every cell of the file is in it. */
export interface ImportReport {
  file: string;
  complete: boolean;
  rowsRead: number;
  rowsWithReadings: number;
  rowsSkipped: Record<string, number>;
  cellsSkipped: Record<string, number>;
  readingsAccepted: number;
  messages: number;
  devices: number;
  series: number;
  from: string | null;
  to: string | null;
  rowsInRepeatedHour: number;
  rowsInSkippedHour: number;
  badRows: { line: number; reason: string }[];
  /** What became of the accepted readings; null where storing was not waited for or did not happen in time. */
  stored: number | null;
  duplicate: number | null;
  quarantined: number | null;
  quarantineReasons: Record<string, number>;
}

/** Puts the numbers of an import together. */
export function createImportReport(file: string, { published, series, outcome }: ImportResult): ImportReport {
  const { counts } = published;
  return {
    file,
    complete: published.complete,
    rowsRead: counts.rowsRead,
    rowsWithReadings: counts.rowsWithReadings,
    rowsSkipped: counts.rowsSkipped,
    cellsSkipped: counts.cellsSkipped,
    readingsAccepted: published.readings,
    messages: published.messages,
    devices: new Set(series.map(({ device }) => device)).size,
    series: series.length,
    from: counts.firstUs === null ? null : isoOf(counts.firstUs),
    to: counts.lastUs === null ? null : isoOf(counts.lastUs),
    rowsInRepeatedHour: counts.rowsInRepeatedHour,
    rowsInSkippedHour: counts.rowsInSkippedHour,
    badRows: counts.badRows,
    stored: outcome?.stored ?? null,
    duplicate: outcome?.duplicate ?? null,
    quarantined: outcome?.quarantined ?? null,
    quarantineReasons: outcome?.reasons ?? {},
  };
}

const WHY: Record<string, string> = {
  empty: "empty",
  nan: "NaN",
  missing: "missing at the end of a short row",
  extra: "beyond the header",
  too_long: "text that is too long",
  blank: "blank row",
  header: "header repeated",
  footer: "not data (no time)",
  bad_line: "a line that cannot be read",
  bad_time: "a time that cannot be read",
  bad_device: "no usable device",
  out_of_bounds: "a time outside the bounds",
  no_value: "row without a value",
};

/** Prints a report for people. */
export function printImportReport(report: ImportReport): void {
  const list = (counts: Record<string, number>) =>
    Object.entries(counts)
      .map(([why, n]) => `${n} ${WHY[why] ?? why}`)
      .join(", ") || "none";
  printLine(`rows read          ${report.rowsRead}, with readings ${report.rowsWithReadings}`);
  printLine(`rows skipped       ${list(report.rowsSkipped)}`);
  printLine(`cells skipped      ${list(report.cellsSkipped)}`);
  printLine(`readings accepted  ${report.readingsAccepted} in ${report.messages} messages`);
  printLine(`series             ${report.series} of ${report.devices} devices`);
  printLine(`time               ${report.from ?? "-"} to ${report.to ?? "-"}`);
  if (report.rowsInRepeatedHour > 0) {
    printLine(
      `clock change       ${report.rowsInRepeatedHour} rows in the hour that happens twice, told apart by their order`,
    );
  }
  if (report.rowsInSkippedHour > 0) {
    printLine(
      `clock change       ${report.rowsInSkippedHour} rows in an hour that does not exist, read with the offset before it`,
    );
  }
  if (report.stored !== null) {
    printLine(
      `stored             ${report.stored} new, ${report.duplicate} there already, ${report.quarantined} refused`,
    );
  }
  for (const [reason, n] of Object.entries(report.quarantineReasons)) {
    note(`in quarantine: ${n} messages, ${reason}; see ./sluice quarantine list --reason ${reason}`);
  }
  for (const { line, reason } of report.badRows)
    note(`${report.file}, line ${line}: ${WHY[reason] ?? reason}`);
}

/** What the table maps to what, one line per series. */
export function printMap(table: Table): void {
  for (const column of table.map.columns) {
    const unit = column.unit === "" ? "" : ` [${column.unit}]`;
    printLine(
      `column ${column.index + 1}: ${column.device ?? table.map.device ?? "<device>"} ${column.field}${unit}`,
    );
  }
}
