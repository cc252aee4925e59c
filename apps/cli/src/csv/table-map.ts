import type { NumberStyle } from "./cell.ts";

/** A column that holds readings. */
export interface ValueColumn {
  /** From 0. */
  index: number;
  field: string;
  /** Device of the column; undefined where a column of each row names it, or the whole file is one device's. */
  device?: string;
  /** Unit as the file names it; empty where it does not. */
  unit: string;
}

/** Where in a row to find what. */
export interface TableMap {
  timeColumn: number;
  deviceColumn?: number;
  /** Device of rows and columns that name none. */
  device?: string;
  columns: readonly ValueColumn[];
  numbers: NumberStyle;
  /** Number of columns of the header: cells beyond it are counted, not read. */
  width: number;
}
