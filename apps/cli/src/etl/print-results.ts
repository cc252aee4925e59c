import type { RowChange } from "@sluice/db";
import type { JobResult, Plan } from "@sluice/etl";
import { note, printLine } from "../output.ts";

const SHOWN = 50;

/** Prints what runs came to. */
export function printResults(results: readonly JobResult[], deleted: number | undefined): void {
  for (const { job, windows, rows, changed, failed, busy } of results) {
    printLine(`${job}: ${windows} windows, ${rows} rows, ${changed} inserted or changed`);
    for (const { fromMs, toMs, error } of failed) {
      note(
        `${job}: window ${new Date(fromMs).toISOString()} to ${new Date(toMs).toISOString()} failed: ${error}`,
      );
    }
    if (busy > 0) note(`${job}: ${busy} windows are being worked on by somebody else`);
  }
  if (deleted !== undefined) printLine(`cleanup: ${deleted} rows deleted`);
}

/** Prints, per table, the rows that would come and those whose values would change, old and new, and how to apply it. */
export function printPlan(command: string, plan: Plan, deletes: number | undefined): void {
  for (const [table, changes] of groupByTable(plan.changes)) {
    const inserts = changes.filter((change) => change.old === null);
    const updates = changes.filter((change) => change.old !== null && change.new !== null);
    const removals = changes.filter((change) => change.new === null);
    printLine(
      `${table}: ${inserts.length} rows to insert, ${updates.length} to change, ${removals.length} to take away`,
    );
    for (const change of changes.slice(0, SHOWN)) printLine(`  ${describe(change)}`);
    if (changes.length > SHOWN) printLine(`  … and ${changes.length - SHOWN} more (all with --json)`);
  }
  if (deletes !== undefined) printLine(`cleanup: ${deletes} rows to delete`);
  if (plan.changes.length === 0) printLine("nothing to change");
  else printLine(`\nto do exactly this: ./sluice etl ${command} --apply ${plan.token}`);
}

function groupByTable(changes: readonly RowChange[]): Map<string, RowChange[]> {
  const tables = new Map<string, RowChange[]>();
  for (const change of changes) {
    const list = tables.get(change.table) ?? [];
    list.push(change);
    tables.set(change.table, list);
  }
  return tables;
}

function describe({ key, old, new: now }: RowChange): string {
  const name = Object.entries(key)
    .map(([column, value]) => `${column} ${value}`)
    .join(", ");
  const values = now ?? old ?? {};
  const parts = Object.keys(values)
    .filter((column) => old === null || now === null || String(old[column]) !== String(now[column]))
    .map((column) => {
      if (old === null) return `${column} ${now?.[column]}`;
      return now === null ? `${column} ${old[column]} → gone` : `${column} ${old[column]} → ${now[column]}`;
    });
  return `${old === null ? "+" : now === null ? "-" : "~"} ${name}: ${parts.join(", ")}`;
}
