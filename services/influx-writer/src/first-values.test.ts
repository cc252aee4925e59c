import { expect, test } from "@jest/globals";
import type { Point } from "@sluice/influx";
import { createFirstValues } from "./first-values.ts";

const point = (fields: Point["fields"], timeUs = 1): Point => ({
  measurement: "m",
  tags: { d: "1" },
  fields,
  timeUs,
});

test("the first value of a field at an instant wins, a differing second one is named", () => {
  const first = createFirstValues(10);
  expect(first.admit(point({ a: 1 })).conflicts).toEqual([]);
  expect(first.admit(point({ a: 2, b: 1 }))).toEqual({
    point: point({ b: 1 }),
    conflicts: [{ field: "a", first: 1, second: 2 }],
  });
  expect(first.admit(point({ b: 2 }))).toEqual({ conflicts: [{ field: "b", first: 1, second: 2 }] });
  expect(first.admit(point({ a: 2 }, 2)).conflicts).toEqual([]);
});

test("the same value again is written again", () => {
  const first = createFirstValues(10);
  first.admit(point({ a: 1 }));
  expect(first.admit(point({ a: 1 }))).toEqual({ point: point({ a: 1 }), conflicts: [] });
});

test("a correction becomes the value that is defended", () => {
  const first = createFirstValues(10);
  first.admit(point({ a: 1 }));
  first.replace(point({ a: 2 }));
  expect(first.admit(point({ a: 2 })).conflicts).toEqual([]);
  expect(first.admit(point({ a: 1 })).conflicts.length).toBe(1);
});

test("at least the last points up to its capacity are remembered, and not for ever", () => {
  const first = createFirstValues(100);
  for (let i = 0; i < 1000; i++) first.admit(point({ a: 1 }, i));
  for (let i = 900; i < 1000; i++) expect(first.admit(point({ a: 2 }, i)).conflicts.length).toBe(1);
  expect(first.admit(point({ a: 2 }, 0)).conflicts).toEqual([]);
});
