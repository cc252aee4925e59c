import { PAYLOAD_LIMITS } from "@sluice/shared-types";
import { slug } from "../greenhouse/header.ts";
import { FileError } from "./open-csv.ts";
import type { TableMap, ValueColumn } from "./table-map.ts";

/** `target=column` pairs as typed: targets `time` and `device`, anything else is the name of a field. */
export type ColumnChoice = readonly { target: string; column: string }[];

/**
 * Reads one `--map` argument: `time=Datum` or several, `time=Datum,device=Node,temperature=Temp (°C)`. A comma
 * parts two pairs only where `name=` follows it. Undefined where it holds no pair.
 */
export function parseColumnChoice(text: string): { target: string; column: string }[] | undefined {
  const pairs: { target: string; column: string }[] = [];
  for (const part of text.split(/,(?=\s*[A-Za-z0-9_.-]+=)/)) {
    const m = /^\s*([A-Za-z0-9_.-]+)=(.*\S)\s*$/.exec(part);
    if (!m) return undefined;
    pairs.push({ target: m[1] ?? "", column: (m[2] ?? "").trim() });
  }
  return pairs;
}

/**
 * The map of a CSV file. A column is named by its header or as `#3` (from 1). Where no field is chosen, every
 * column but time and device is one, named after its header. @throws FileError naming the columns there are
 */
export function mapCsv(
  path: string,
  header: readonly string[],
  choice: ColumnChoice,
  options: { device?: string; decimal: "." | "," },
): TableMap {
  const find = (column: string) => findColumn(path, header, column);
  const chosen = (target: string) => choice.find((pair) => pair.target === target)?.column;
  const timeColumn = find(chosen("time") ?? "#1");
  const deviceName = chosen("device");
  const deviceColumn = deviceName === undefined ? undefined : find(deviceName);
  const fields = choice.filter((pair) => pair.target !== "time" && pair.target !== "device");
  const columns: ValueColumn[] =
    fields.length > 0
      ? fields.map(({ target, column }) => ({ index: find(column), field: target, unit: "" }))
      : allColumns(header, [timeColumn, deviceColumn]);
  if (columns.length === 0) throw new FileError(`${path}: no column is left for readings`);
  checkFields(path, columns);
  const map: TableMap = { timeColumn, columns, numbers: { decimal: options.decimal }, width: header.length };
  if (deviceColumn !== undefined) map.deviceColumn = deviceColumn;
  if (options.device !== undefined) map.device = options.device;
  return map;
}

function findColumn(path: string, header: readonly string[], column: string): number {
  const number = /^#(\d+)$/.exec(column);
  if (number) {
    const index = Number(number[1]) - 1;
    if (index >= 0 && index < header.length) return index;
  }
  const index = header.findIndex((name) => name.trim() === column);
  if (index >= 0) return index;
  const known = header.map((name, i) => name.trim() || `#${i + 1}`).slice(0, 20);
  throw new FileError(`${path}: no column '${column}'. There are: ${known.join(", ")}`);
}

function allColumns(header: readonly string[], taken: readonly (number | undefined)[]): ValueColumn[] {
  const names = new Map<string, number>();
  const columns: ValueColumn[] = [];
  for (const [index, name] of header.entries()) {
    if (taken.includes(index)) continue;
    const unit = /\(([^()]*)\)\s*$/.exec(name)?.[1]?.trim() ?? "";
    const base = (slug(name.replace(/\([^()]*\)\s*$/, ""), "_") || `column_${index + 1}`).slice(0, 120);
    const times = (names.get(base) ?? 0) + 1;
    names.set(base, times);
    columns.push({ index, field: times === 1 ? base : `${base}_${times}`, unit });
  }
  return columns;
}

const UNUSABLE = new Set(["__proto__", "constructor", "prototype"]);

function checkFields(path: string, columns: readonly ValueColumn[]): void {
  const seen = new Set<string>();
  for (const { field } of columns) {
    if (UNUSABLE.has(field) || field.length > PAYLOAD_LIMITS.name) {
      throw new FileError(`${path}: '${field.slice(0, 40)}' cannot be the name of a field`);
    }
    if (seen.has(field)) throw new FileError(`${path}: two columns are mapped to the field '${field}'`);
    seen.add(field);
  }
}
