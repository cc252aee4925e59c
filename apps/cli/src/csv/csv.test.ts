import { expect, test } from "@jest/globals";
import { parseCell } from "./cell.ts";
import { createLocalClock } from "./local-clock.ts";
import { mapCsv, parseColumnChoice } from "./map-csv.ts";
import { createTimeFormat } from "./time-format.ts";

const iso = (us: number | undefined) => (us === undefined ? undefined : new Date(us / 1000).toISOString());
const dot = { decimal: "." } as const;

test("the hour that happens twice keeps every row: the second of two equal local times is an hour later", () => {
  const read = createLocalClock("Europe/Amsterdam");
  const times = ["2019-10-27 01:00:00", "2019-10-27 02:00:00", "2019-10-27 02:00:00", "2019-10-27 03:00:00"];
  expect(times.map((cell) => iso(read(cell)?.timeUs))).toEqual([
    "2019-10-26T23:00:00.000Z",
    "2019-10-27T00:00:00.000Z",
    "2019-10-27T01:00:00.000Z",
    "2019-10-27T02:00:00.000Z",
  ]);
});

test("five-minute rows run through the repeated hour twice, in both directions of the file", () => {
  const pass = Array.from({ length: 12 }, (_, i) => `2019-10-27 02:${String(i * 5).padStart(2, "0")}:00`);
  const rows = ["2019-10-27 01:55:00", ...pass, ...pass, "2019-10-27 03:00:00"];
  const up = createLocalClock("Europe/Amsterdam");
  const down = createLocalClock("Europe/Amsterdam", "descending");
  const ascending = rows.map((cell) => up(cell)?.timeUs);
  expect(new Set(ascending).size).toBe(26);
  expect(ascending.toReversed()).toEqual(rows.toReversed().map((cell) => down(cell)?.timeUs));
});

test("a local time that the spring jump skipped is read with the offset before it, and said so", () => {
  const read = createLocalClock("Europe/Amsterdam");
  expect(read("2020-03-29 02:30:00")).toEqual({
    timeUs: Date.UTC(2020, 2, 29, 1, 30) * 1000,
    note: "skipped",
  });
  expect(iso(read("2020-03-29 03:00:00")?.timeUs)).toBe("2020-03-29T01:00:00.000Z");
});

test("a time with an offset and an epoch need no zone; what is no time is undefined", () => {
  const read = createLocalClock("Europe/Amsterdam");
  expect(iso(read("2020-08-16T12:45:00+05:00")?.timeUs)).toBe("2020-08-16T07:45:00.000Z");
  expect(iso(read("1597574700")?.timeUs)).toBe("2020-08-16T10:45:00.000Z");
  for (const cell of ["", "Link to dashboard", "2020-02-30 00:00:00"]) expect(read(cell)).toBeUndefined();
});

test("a literal zero is a value; empty and NaN are skipped by name", () => {
  expect(parseCell("0", dot)).toEqual({ value: 0 });
  expect(parseCell("-0.5e-3", dot)).toEqual({ value: -0.0005 });
  expect(parseCell(" ", dot)).toEqual({ skipped: "empty" });
  for (const cell of ["NaN", "nan", "-inf", "#N/A", "null"])
    expect(parseCell(cell, dot)).toEqual({ skipped: "nan" });
  expect(parseCell("door open", dot)).toEqual({ value: "door open" });
  expect(parseCell("1.234,5", { decimal: "," })).toEqual({ value: 1234.5 });
  expect(parseCell("12,5", { decimal: "," })).toEqual({ value: 12.5 });
});

test("a column map parts pairs at commas only where a name follows", () => {
  expect(parseColumnChoice("time=Datum, tijd,device=Node,t=Temp (°C)")).toEqual([
    { target: "time", column: "Datum, tijd" },
    { target: "device", column: "Node" },
    { target: "t", column: "Temp (°C)" },
  ]);
  expect(parseColumnChoice("time")).toBeUndefined();
});

test("without chosen fields every other column is one, named after its header with its unit apart", () => {
  const map = mapCsv("f.csv", ["When", "Temp (°C)", "Temp", ""], [], { decimal: ".", device: "d" });
  expect(map.columns).toEqual([
    { index: 1, field: "temp", unit: "°C" },
    { index: 2, field: "temp_2", unit: "" },
    { index: 3, field: "column_4", unit: "" },
  ]);
  expect(() => mapCsv("f.csv", ["a", "b"], [{ target: "time", column: "c" }], { decimal: "." })).toThrow(
    "f.csv: no column 'c'. There are: a, b",
  );
});

test("times in another order of day and month are read by a format", () => {
  const format = createTimeFormat("DD-MM-YYYY HH:mm");
  expect(format?.("7-10-2019 14:05")).toBe("2019-10-07 14:05:00");
  expect(createTimeFormat("HH:mm")).toBeUndefined();
});
