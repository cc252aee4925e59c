import { basename } from "node:path";
import { createLocalClock } from "../csv/local-clock.ts";
import { type CsvRecord, FileError, openCsv } from "../csv/open-csv.ts";
import type { Table } from "../csv/open-table.ts";
import { createRowReader, type RowResult, type TimeBounds } from "../csv/read-row.ts";
import type { TableMap, ValueColumn } from "../csv/table-map.ts";
import { createTimeFormat } from "../csv/time-format.ts";
import { slug } from "../greenhouse/header.ts";
import { MEASURES, toNodeId } from "./readings-table.ts";

/** How to read a file of the water network. */
export interface WaterCsvOptions {
  timeZone: string;
  /** Rows outside are not read. */
  fromUs: number;
  toUs: number;
  /** Rows after it are named and not taken. */
  latestUs: number;
  /** Node of columns that name none; default: the file's name. */
  node?: string | undefined;
}

/** Measures by the unit that the second row of a raw export gives them. */
const UNITS: Readonly<Record<string, string>> = {
  "l/s": "flow_rate",
  bar: "pressure",
  "°c": "temperature",
  m3: "volume",
  "m³": "volume",
  mc: "volume",
};

/**
 * Opens a raw export (`;`, decimal comma, a row of names and one of units, DATA and ORA in two columns) or a file with
 * the columns of `sensor_readings_ml`. A raw column names its node before ` - `, or is of the file's. @throws FileError
 */
export async function openWaterCsv(path: string, options: WaterCsvOptions): Promise<Table> {
  const raw = await isRaw(path);
  const file = await openCsv(path, { delimiter: raw ? ";" : ",", encoding: "utf-8" });
  const records = file.records[Symbol.asyncIterator]();
  const names = (await next(records))?.cells.map((cell) => cell.trim()) ?? [];
  const node = toNodeId(options.node ?? basename(path).replace(/\.[^.]*$/, ""));
  const map = raw ? mapRaw(path, names, (await next(records))?.cells ?? [], node) : mapPlain(path, names);
  const clock = createLocalClock(options.timeZone);
  const format = createTimeFormat("DD/MM/YYYY HH:mm:ss") ?? ((cell: string) => cell);
  const bounds: TimeBounds = { fromUs: Number.NEGATIVE_INFINITY, toUs: options.latestUs };
  const read = createRowReader(map, (cell) => clock(raw ? format(cell) : cell), bounds, names);
  const hour = names.findIndex((name) => /^ora$/i.test(name));
  return {
    map,
    sizeBytes: file.sizeBytes,
    readBytes: file.readBytes,
    rows: readRows(records, (cells) => read(raw ? joined(cells, map.timeColumn, hour) : cells), options),
    close: async () => void (await records.return?.()),
  };
}

async function isRaw(path: string): Promise<boolean> {
  const file = await openCsv(path, { delimiter: ";", encoding: "utf-8" });
  const records = file.records[Symbol.asyncIterator]();
  const first = (await next(records))?.cells ?? [];
  await records.return?.();
  return (
    first.some((cell) => /^data$/i.test(cell.trim())) && first.some((cell) => /^ora$/i.test(cell.trim()))
  );
}

async function next(records: AsyncIterator<CsvRecord>): Promise<CsvRecord | undefined> {
  const { done, value } = await records.next();
  return done ? undefined : value;
}

/** Rows of the wanted range; those outside are somebody else's. */
async function* readRows(
  records: AsyncIterator<CsvRecord>,
  read: (cells: readonly string[]) => RowResult,
  { fromUs, toUs, latestUs }: WaterCsvOptions,
): AsyncGenerator<RowResult & { line: number }> {
  try {
    for (let record = await next(records); record; record = await next(records)) {
      const result = read(record.cells);
      const at = result.row?.timeUs;
      if (at !== undefined && (at < fromUs || at >= toUs) && at <= latestUs) continue;
      yield { line: record.line, ...result };
    }
  } finally {
    await records.return?.();
  }
}

/** Date and hour in the date's column; `9.30`, `9:30` and `9:30:00` are times. */
function joined(cells: readonly string[], date: number, hour: number): string[] {
  const time = (cells[hour] ?? "").trim().replaceAll(".", ":");
  const full = /^\d{1,2}:\d{2}$/.test(time) ? `${time}:00` : time;
  return cells.map((cell, i) => (i === date ? `${cell.trim()} ${full}` : cell));
}

function mapRaw(
  path: string,
  names: readonly string[],
  units: readonly string[],
  node: string | undefined,
): TableMap {
  const columns: ValueColumn[] = [];
  for (const [index, name] of names.entries()) {
    const unit = (units[index] ?? "").replaceAll(/[[\]()]/g, "").trim();
    const measure = UNITS[unit.toLowerCase()];
    if (measure === undefined) continue;
    const own = /^(.+?)\s+-\s+/.exec(name)?.[1];
    const device = own === undefined ? node : toNodeId(own);
    if (device === undefined)
      throw new FileError(`${path}: column '${name}' names no node; give one with --node`);
    if (columns.some((column) => column.device === device && column.field === measure))
      throw new FileError(`${path}: two columns of node '${device}' are in ${unit}`);
    columns.push({ index, field: measure, device, unit });
  }
  if (columns.length === 0) throw new FileError(`${path}: no column is in L/s, bar, °C or m³`);
  const timeColumn = names.findIndex((name) => /^data$/i.test(name));
  return { timeColumn, columns, numbers: { decimal: "," }, width: names.length };
}

function mapPlain(path: string, names: readonly string[]): TableMap {
  const slugs = names.map((name) => slug(name, "_"));
  const [timeColumn, deviceColumn] = [slugs.indexOf("timestamp"), slugs.indexOf("node_id")];
  if (timeColumn < 0 || deviceColumn < 0)
    throw new FileError(`${path}: neither a raw export (DATA;ORA;…) nor a file with timestamp and node_id`);
  const columns = slugs.flatMap((name, index) => {
    const field = MEASURES[name];
    return field === undefined ? [] : [{ index, field, unit: "" }];
  });
  if (columns.length === 0)
    throw new FileError(`${path}: no column is one of ${Object.keys(MEASURES).join(", ")}`);
  return { timeColumn, deviceColumn, columns, numbers: { decimal: "." }, width: names.length };
}
