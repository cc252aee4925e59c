import { DEVICE_ID } from "@sluice/shared-types";
import { slug } from "../greenhouse/header.ts";
import { parseCell, type SkipReason } from "./cell.ts";
import type { LocalInstant } from "./local-clock.ts";
import type { TableMap } from "./table-map.ts";

/** Why a row is not data. `bad_*` rows carry values that are lost by it; the others do not. */
export type RowSkip =
  | "blank"
  | "header"
  | "footer"
  | "bad_line"
  | "bad_time"
  | "bad_device"
  | "out_of_bounds"
  | "no_value";

/** The readings of one row: one instant, one or several devices. */
export interface DataRow {
  timeUs: number;
  note?: LocalInstant["note"];
  devices: Map<string, Record<string, number | string | boolean | null>>;
  readings: number;
}

/** What a row turned out to be. Cells that hold no reading are counted by reason in every case. */
export interface RowResult {
  row?: DataRow;
  skipped?: RowSkip;
  cellsSkipped: Partial<Record<SkipReason | "missing" | "extra" | RowSkip, number>>;
}

/** Instants outside are not taken: microseconds since the epoch. */
export interface TimeBounds {
  fromUs: number;
  toUs: number;
}

/** A reader of rows under one map; `readTime` keeps state from row to row. */
export function createRowReader(
  map: TableMap,
  readTime: (cell: string) => LocalInstant | undefined,
  bounds: TimeBounds,
  header: readonly string[] = [],
): (cells: readonly string[]) => RowResult {
  return (cells) => {
    if (cells.every((cell) => cell.trim() === "")) return skipRow("blank", map, cells);
    if (header.length > 1 && cells.length === header.length && cells.every((cell, i) => cell === header[i])) {
      return skipRow("header", map, cells);
    }
    const instant = readTime(cells[map.timeColumn] ?? "");
    if (!instant) return skipRow(holdsNumbers(map, cells) ? "bad_time" : "footer", map, cells);
    if (instant.timeUs < bounds.fromUs || instant.timeUs > bounds.toUs)
      return skipRow("out_of_bounds", map, cells);
    const rowDevice = map.deviceColumn === undefined ? map.device : toDeviceId(cells[map.deviceColumn] ?? "");
    if (map.deviceColumn !== undefined && rowDevice === undefined) return skipRow("bad_device", map, cells);
    return readValues(map, cells, instant, rowDevice);
  };
}

function readValues(
  map: TableMap,
  cells: readonly string[],
  instant: LocalInstant,
  rowDevice: string | undefined,
): RowResult {
  const row: DataRow = { timeUs: instant.timeUs, devices: new Map(), readings: 0 };
  if (instant.note) row.note = instant.note;
  const cellsSkipped: RowResult["cellsSkipped"] = {};
  for (const column of map.columns) {
    const text = cells[column.index];
    const cell = text === undefined ? { skipped: "missing" as const } : parseCell(text, map.numbers);
    if ("skipped" in cell) {
      cellsSkipped[cell.skipped] = (cellsSkipped[cell.skipped] ?? 0) + 1;
      continue;
    }
    const device = column.device ?? rowDevice ?? "";
    const readings = row.devices.get(device) ?? {};
    row.devices.set(device, readings);
    readings[column.field] = cell.value;
    row.readings++;
  }
  if (cells.length > map.width) cellsSkipped.extra = cells.length - map.width;
  return row.readings > 0 ? { row, cellsSkipped } : { skipped: "no_value", cellsSkipped };
}

function skipRow(skipped: RowSkip, map: TableMap, cells: readonly string[]): RowResult {
  const present = map.columns.filter((column) => cells[column.index] !== undefined).length;
  return { skipped, cellsSkipped: present > 0 ? { [skipped]: present } : {} };
}

function holdsNumbers(map: TableMap, cells: readonly string[]): boolean {
  return map.columns.some((column) => {
    const cell = parseCell(cells[column.index] ?? "", map.numbers);
    return "value" in cell && typeof cell.value !== "string";
  });
}

/** A legal device id as it is; anything else in lower-case ASCII words; undefined where nothing is left. */
function toDeviceId(cell: string): string | undefined {
  const text = cell.trim();
  if (DEVICE_ID.test(text)) return text;
  const id = slug(text, "-").slice(0, 64);
  return id === "" ? undefined : id;
}
