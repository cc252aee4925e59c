import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { statisticsByHour } from "./hour-statistics.ts";
import { heldValues } from "./stretches.ts";
import { type Sample, timeWeightedMean } from "./time-weighted.ts";

const HOUR_MS = 3_600_000;
const samples = fc
  .uniqueArray(
    fc.record({
      atMs: fc.integer({ min: -HOUR_MS, max: 3 * HOUR_MS }),
      value: fc.option(fc.double({ min: -50, max: 150, noNaN: true })),
    }),
    { selector: ({ atMs }) => atMs, maxLength: 40 },
  )
  .map((list): Sample[] => list.sort((a, b) => a.atMs - b.atMs));

test("the mean of every hour is the time-weighted mean, between minimum and maximum", () => {
  fc.assert(
    fc.property(samples, (list) => {
      const range = { fromMs: 0, toMs: 3 * HOUR_MS };
      const held = heldValues(list, { ...range, knownToMs: range.toMs });
      const inside = list.filter(({ atMs }) => atMs >= 0 && atMs < range.toMs);
      for (const [hourMs, hour] of statisticsByHour(held, inside)) {
        const mean = timeWeightedMean(list, { fromMs: hourMs, toMs: hourMs + HOUR_MS });
        if (mean !== undefined) expect(hour.mean).toBeCloseTo(mean, 6);
        expect(hour.min <= hour.mean + 1e-9 && hour.mean <= hour.max + 1e-9).toBe(true);
        expect(hour.deviation).toBeLessThanOrEqual((hour.max - hour.min) / 2 + 1e-9);
      }
    }),
    { examples: [[[{ atMs: 0, value: -49.99999782596217 }]]] },
  );
});

test("TRAP: one reading has no deviation and crashes nothing, 0 is a value, and one that held for no time counts", () => {
  expect([...statisticsByHour([], [{ atMs: 5, value: 0 }])]).toEqual([
    [0, { min: 0, mean: 0, max: 0, deviation: 0, readings: 1 }],
  ]);
  expect([
    ...statisticsByHour(
      [],
      [
        { atMs: 5, value: 2 },
        { atMs: 5, value: 4 },
        { atMs: 6, value: null },
      ],
    ),
  ]).toEqual([[0, { min: 2, mean: 3, max: 4, deviation: 0, readings: 2 }]]);
});
