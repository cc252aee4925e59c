import type { StreamLag } from "@sluice/bus";
import Table from "cli-table3";
import { pc } from "../colours.ts";
import { formatDuration, printable, printLine } from "../output.ts";
import { BACKPRESSURE } from "./look.ts";

/** A cell of a table. */
export type Cell = string | number | Date | null;

/** Prints a headline, and a table or that there is nothing. */
export function printTable(title: string, head: readonly string[], rows: readonly (readonly Cell[])[]): void {
  printLine(pc.bold(pc.cyan(title)));
  if (rows.length === 0) {
    printLine(pc.dim("  nothing\n"));
    return;
  }
  const table = new Table({ head: head.map((one) => pc.bold(one)), style: { head: [], border: [] } });
  for (const row of rows) table.push(row.map(toText));
  printLine(`${table.toString()}\n`);
}

function toText(cell: Cell): string {
  if (cell === null) return "-";
  if (cell instanceof Date) return cell.toISOString().replace("T", " ").slice(0, 19);
  if (typeof cell === "number") return Number.isInteger(cell) ? String(cell) : cell.toFixed(2);
  return cell;
}

/** Text from outside in a cell. */
export const text = (value: string | null) => (value === null ? null : printable(value, 60));

/** A number that is green at nothing, yellow above, red from `limit` on. */
export function grade(value: number, limit: number): string {
  const colour = value >= limit ? pc.red : value > 0 ? pc.yellow : pc.green;
  return colour(String(value));
}

/** Prints streams and their groups: pending, not acknowledged, lag. */
export function printStreams(streams: readonly StreamLag[]): void {
  printTable(
    "Streams and consumer groups",
    ["stream", "entries", "group", "unread", "pending", "parked", "oldest pending", "consumers"],
    streams.flatMap(({ stream, entries, groups }) =>
      (groups.length === 0 ? [null] : groups).map((group) =>
        group === null
          ? [stream, grade(entries, BACKPRESSURE), pc.red("none"), null, null, null, null, null]
          : [
              ...[stream, grade(entries, BACKPRESSURE * 20), group.group, grade(group.unread, BACKPRESSURE)],
              ...[grade(group.pending, BACKPRESSURE), grade(group.parked, 1)],
              group.oldestPendingMs === null ? null : formatDuration(group.oldestPendingMs),
              group.consumers.map(({ name, pending }) => `${name} (${pending})`).join(", ") || pc.red("none"),
            ],
      ),
    ),
  );
  const behind = streams.filter(({ groups }) => groups.some(({ unread }) => unread >= BACKPRESSURE));
  for (const { stream } of behind) {
    printLine(pc.red(`WARNING: ${stream} has ${BACKPRESSURE} messages or more that a group has not read\n`));
  }
}
