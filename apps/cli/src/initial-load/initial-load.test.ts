import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { Table } from "../csv/open-table.ts";
import { openWaterCsv } from "./open-water-csv.ts";
import { createReadingsTable } from "./readings-table.ts";

const us = (iso: string) => Date.parse(iso) * 1000;
const OPTIONS = {
  timeZone: "Europe/Rome",
  fromUs: us("2024-02-01T00:00:00Z"),
  toUs: us("2024-03-01T00:00:00Z"),
  latestUs: us("2025-01-01T00:00:00Z"),
};
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice load "));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, ...lines: string[]): Promise<string> {
  await writeFile(join(folder, name), lines.join("\r\n"));
  return join(folder, name);
}

/** What rows come to: when and whose, or why not. */
async function rowsOf(table: Table): Promise<unknown[]> {
  const rows = [];
  for await (const { row, skipped } of table.rows) {
    const at = row && new Date(row.timeUs / 1000).toISOString();
    rows.push(row ? [at, Object.fromEntries(row.devices)] : skipped);
  }
  return rows;
}

test("a raw export has a row of names and one of units, decimal commas, thousands dots, DATA and ORA in local time", async () => {
  const path = await file(
    "selargius.csv",
    "DATA;ORA;via nuova - portata;via nuova - pressione;totale;note",
    ";;L/s;[bar];m3;",
    "15/02/2024;10.30;1.020,5;4,2;1.000.100,25;x",
    "15/02/2024;11:00:00;;4,1;;",
  );
  expect(await rowsOf(await openWaterCsv(path, OPTIONS))).toEqual([
    [
      "2024-02-15T09:30:00.000Z",
      { "via-nuova": { flow_rate: 1020.5, pressure: 4.2 }, selargius: { volume: 1_000_100.25 } },
    ],
    ["2024-02-15T10:00:00.000Z", { "via-nuova": { pressure: 4.1 } }],
  ]);
});

test("TRAP: rows of the future are named and not taken; rows of other days are not read", async () => {
  const path = await file(
    "node.csv",
    "DATA;ORA;portata",
    ";;L/s",
    "15/01/2024;10.30;1",
    "15/02/2024;10.30;2",
    "15/02/2027;10.30;3",
    "nonsense;10.30;4",
  );
  expect(await rowsOf(await openWaterCsv(path, { ...OPTIONS, node: "NODE_7" }))).toEqual([
    ["2024-02-15T09:30:00.000Z", { NODE_7: { flow_rate: 2 } }],
    "out_of_bounds",
    "bad_time",
  ]);
});

test("a file with the columns of sensor_readings_ml is read by their names", async () => {
  const path = await file(
    "ml.csv",
    "timestamp,node_id,node_name,flow_rate,pressure,volume,quality_score",
    "2024-02-02T00:00:00Z,DIST_1,One,10.5,,100,0.9",
  );
  expect(await rowsOf(await openWaterCsv(path, OPTIONS))).toEqual([
    ["2024-02-02T00:00:00.000Z", { DIST_1: { flow_rate: 10.5, volume: 100, quality_score: 0.9 } }],
  ]);
  await expect(openWaterCsv(await file("other.csv", "a,b", "1,2"), OPTIONS)).rejects.toThrow(
    /neither a raw export/,
  );
});

test("rows of a database: ids become device ids, total_flow is volume, and the source is closed at the end", async () => {
  async function* rows() {
    const values = { total_flow: 7, flow_rate: Number.NaN, pressure: null, other: 3 };
    yield { timeUs: us("2024-02-02T00:00:00Z"), node: "Via Roma 5", values };
    yield { timeUs: us("2024-02-02T00:00:00Z"), node: "DIST_1", values: { other: 1 } };
    yield { timeUs: us("2030-01-01T00:00:00Z"), node: "DIST_1", values };
    yield { timeUs: us("2024-02-02T00:00:00Z"), node: "!!!", values };
  }
  let closed = false;
  const table = createReadingsTable(rows(), OPTIONS.latestUs, async () => {
    closed = true;
  });
  expect(await rowsOf(table)).toEqual([
    ["2024-02-02T00:00:00.000Z", { "via-roma-5": { volume: 7 } }],
    "no_value",
    "out_of_bounds",
    "bad_device",
  ]);
  expect(closed).toBe(true);
});
