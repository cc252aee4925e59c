import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "@jest/globals";
import { createMessageBuilder } from "@sluice/intake";
import { decodeMessage } from "@sluice/shared-types";
import { openTable, type Table } from "../src/csv/open-table.ts";
import { mapGreenhouse } from "../src/greenhouse/map-greenhouse.ts";
import { findStep } from "../src/greenhouse/step.ts";
import { countRow, createRowCounts } from "../src/import/row-counts.ts";

const sample = fileURLToPath(new URL("./data/greenhouse-sample.csv", import.meta.url));
const real = join(
  process.env.SLUICE_SAMPLE_DATA ?? fileURLToPath(new URL("../../../../shared/data", import.meta.url)),
  "greenhouse",
);
const withRealData = existsSync(real) ? test : test.skip;

const open = (path: string): Promise<Table> =>
  openTable(path, {
    delimiter: ",",
    encoding: "utf-8",
    headerRows: 1,
    timeZone: "Europe/Amsterdam",
    bounds: { fromUs: 0, toUs: Date.UTC(2030, 0, 1) * 1000 },
    map: (header, times) => {
      const step = findStep(times(0));
      return mapGreenhouse(path, header, { prefix: "greenhouse", ...(step ? { step } : {}) });
    },
  });

async function readAll(path: string) {
  const table = await open(path);
  const counts = createRowCounts();
  const builder = createMessageBuilder({ type: "telemetry", receivedUs: 1 });
  const messages: string[] = [];
  for await (const result of table.rows) {
    countRow(counts, result);
    if (result.row) messages.push(...builder.add(result.row).map(({ text }) => text));
  }
  messages.push(...builder.flush().map(({ text }) => text));
  const keys = new Set<string>();
  let readings = 0;
  for (const message of messages.map(decodeMessage)) {
    for (const { timeUs, readings: list } of message.samples) {
      readings += list.length;
      for (const { field } of list) keys.add(`${message.device} ${field} ${timeUs}`);
    }
  }
  return { table, counts, messages, readings, distinct: keys.size };
}

test("every cell of a file is either a reading or skipped by name", async () => {
  const { counts, readings, distinct, table } = await readAll(sample);
  expect(counts).toMatchObject({
    rowsRead: 8,
    rowsWithReadings: 6,
    rowsSkipped: { blank: 1, footer: 1 },
    readings: 23,
    cellsSkipped: { empty: 5, nan: 2, blank: 4, footer: 1 },
    rowsInRepeatedHour: 3,
    badRows: [],
  });
  expect([readings, distinct]).toEqual([23, 23]);
  expect(table.map.columns.map((c) => c.field)).toEqual([
    "humidity_deficit_avg_1h",
    "air_temperature_avg_1h",
    "vpd_avg_1h",
    "par_avg_1h",
    "wind_direction_avg_1h",
  ]);
});

withRealData("the month file goes in completely: every number is one distinct reading", async () => {
  const { counts, readings, distinct } = await readAll(join(real, "one-month-every-5-minutes.csv"));
  expect(counts).toMatchObject({
    rowsRead: 8646,
    rowsWithReadings: 8644,
    readings: 390_204,
    rowsSkipped: { blank: 1, footer: 1 },
    cellsSkipped: { empty: 79_941, nan: 5275, blank: 54, footer: 1 },
  });
  expect([readings, distinct]).toEqual([390_204, 390_204]);
});

withRealData("the year file keeps both passes of the hour that the clock repeats", async () => {
  const { counts, readings, distinct } = await readAll(join(real, "330-days-every-hour.csv"));
  expect(counts).toMatchObject({
    rowsRead: 7923,
    rowsWithReadings: 7921,
    readings: 84_988,
    rowsInRepeatedHour: 2,
  });
  expect([readings, distinct]).toEqual([84_988, 84_988]);
});

withRealData("the two files share no series, though they share sensors and instants", async () => {
  const month = await open(join(real, "one-month-every-5-minutes.csv"));
  const year = await open(join(real, "330-days-every-hour.csv"));
  const series = new Set(month.map.columns.map((c) => `${c.device} ${c.field}`));
  expect(month.map.columns).toHaveLength(55);
  expect(year.map.columns.filter((c) => series.has(`${c.device} ${c.field}`))).toEqual([]);
});
