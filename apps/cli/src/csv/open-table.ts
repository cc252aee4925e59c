import { createLocalClock, type Direction } from "./local-clock.ts";
import { type CsvRecord, FileError, openCsv } from "./open-csv.ts";
import { createRowReader, type RowResult, type TimeBounds } from "./read-row.ts";
import type { TableMap } from "./table-map.ts";

/** How to read a file as a table. */
export interface TableOptions {
  delimiter: string;
  encoding: string;
  headerRows: number;
  timeZone: string;
  bounds: TimeBounds;
  /** Rewrites a time cell before it is read. */
  timeFormat?: (cell: string) => string;
  /** Builds the map once the header and the commonest gap between the first rows are known. */
  map(header: readonly string[], firstTimesUs: (timeColumn: number) => number[]): TableMap;
}

/** A table opened for reading. */
export interface Table {
  map: TableMap;
  sizeBytes: number;
  readBytes(): number;
  /** Every record after the header, data or not, in file order; can be iterated once. */
  rows: AsyncIterable<RowResult & { line: number }>;
  /** Gives up the file where `rows` is not iterated to its end. */
  close(): Promise<void>;
}

const PEEK_ROWS = 200;

/** Opens a CSV file as a table of timed readings. @throws FileError */
export async function openTable(path: string, options: TableOptions): Promise<Table> {
  const file = await openCsv(path, options);
  const records = file.records[Symbol.asyncIterator]();
  const head = await take(records, options.headerRows + PEEK_ROWS);
  const peeked = head.slice(options.headerRows);
  if (peeked.length === 0) throw new FileError(`${path}: no rows after the header`);
  const header = headerOf(head.slice(0, options.headerRows), peeked[0]);
  const format = options.timeFormat ?? ((cell: string) => cell);
  const firstTimesUs = (timeColumn: number) => {
    const readTime = createLocalClock(options.timeZone);
    return peeked.flatMap(({ cells }) => readTime(format(cells[timeColumn] ?? ""))?.timeUs ?? []);
  };
  const map = options.map(header, firstTimesUs);
  const clock = createLocalClock(options.timeZone, directionOf(firstTimesUs(map.timeColumn)));
  const read = createRowReader(map, (cell) => clock(format(cell)), options.bounds, header);
  return {
    map,
    sizeBytes: file.sizeBytes,
    readBytes: file.readBytes,
    rows: readRows(peeked, records, read),
    close: async () => void (await records.return?.()),
  };
}

async function* readRows(
  peeked: readonly CsvRecord[],
  rest: AsyncIterator<CsvRecord>,
  read: (cells: readonly string[]) => RowResult,
): AsyncGenerator<RowResult & { line: number }> {
  try {
    for (const { line, cells } of peeked) yield { line, ...read(cells) };
    for (;;) {
      const next = await rest.next();
      if (next.done) return;
      yield { line: next.value.line, ...read(next.value.cells) };
    }
  } finally {
    await rest.return?.();
  }
}

async function take(records: AsyncIterator<CsvRecord>, count: number): Promise<CsvRecord[]> {
  const taken: CsvRecord[] = [];
  while (taken.length < count) {
    const next = await records.next();
    if (next.done) break;
    taken.push(next.value);
  }
  return taken;
}

/** The last header row names the columns; without one they are `#1`, `#2`, … */
function headerOf(rows: readonly CsvRecord[], first: CsvRecord | undefined): string[] {
  return rows.at(-1)?.cells ?? (first?.cells ?? []).map((_, i) => `#${i + 1}`);
}

function directionOf(timesUs: readonly number[]): Direction {
  let up = 0;
  for (let i = 1; i < timesUs.length; i++) up += Math.sign((timesUs[i] ?? 0) - (timesUs[i - 1] ?? 0));
  return up < 0 ? "descending" : "ascending";
}
