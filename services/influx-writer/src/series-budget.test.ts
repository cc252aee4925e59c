import { expect, test } from "@jest/globals";
import type { Point } from "@sluice/influx";
import { createSeriesBudget } from "./series-budget.ts";

const point = (
  measurement: string,
  tags: Record<string, string> = {},
  fields: Point["fields"] = { v: 1 },
): Point => ({
  measurement,
  tags: { device_id: "d", ...tags },
  fields,
  timeUs: 1,
});

test("a device that invents tags keeps its readings and loses the tags; other devices are unaffected", () => {
  const budget = createSeriesBudget(3);
  for (let i = 0; i < 3; i++) expect(budget.admit("bomb", point("m", { n: `${i}` })).untagged).toBe(false);
  for (let i = 3; i < 100; i++) {
    expect(budget.admit("bomb", point("m", { n: `${i}` }))).toEqual({
      point: point("m"),
      refused: [],
      untagged: true,
    });
  }
  expect(budget.admit("bomb", point("m", { n: "1" })).point?.tags).toEqual({ device_id: "d", n: "1" });
  expect(budget.admit("other", point("m", { n: "9" })).untagged).toBe(false);
});

test("a device that invents measurements is refused beyond its budget", () => {
  const budget = createSeriesBudget(3);
  const admitted = Array.from({ length: 20 }, (_, i) => budget.admit("bomb", point(`m${i}`)));
  expect(admitted.filter(({ point }) => point).length).toBeLessThanOrEqual(6);
  expect(admitted[19]).toMatchObject({ refused: ["v"] });
  expect(budget.admit("bomb", point("m0")).point).toBeDefined();
});

test("a device that invents fields loses the new ones only", () => {
  const budget = createSeriesBudget(3);
  budget.admit("bomb", point("m", {}, { a: 1, b: 1, c: 1 }));
  expect(budget.admit("bomb", point("m", {}, { a: 1, x: 1, y: 2 }))).toMatchObject({
    point: { fields: { a: 1 } },
    refused: ["x", "y"],
  });
  expect(budget.admit("bomb", point("m", {}, { z: 1 })).point).toBeUndefined();
});
