import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { integrateSteps, type Sample, timeWeightedMean } from "./time-weighted.ts";

const samples = fc
  .uniqueArray(
    fc.record({
      atMs: fc.integer({ min: -50, max: 150 }),
      value: fc.option(fc.integer({ min: -9, max: 9 })),
    }),
    { selector: ({ atMs }) => atMs, maxLength: 30 },
  )
  .map((list): Sample[] => list.sort((a, b) => a.atMs - b.atMs));

/** What is known at every millisecond, one by one. */
function slowly(list: readonly Sample[], fromMs: number, toMs: number, maxHoldMs: number) {
  const total = { knownMs: 0, integral: 0 };
  for (let ms = fromMs; ms < toMs; ms++) {
    const current = list.findLast(({ atMs }) => atMs <= ms);
    if (current === undefined || current.value === null || ms >= current.atMs + maxHoldMs) continue;
    total.knownMs++;
    total.integral += current.value;
  }
  return total;
}

test("steps integrate to what is known at every instant: carried in, ended by errors and by the hold limit", () => {
  fc.assert(
    fc.property(samples, fc.integer({ min: 1, max: 200 }), (list, maxHoldMs) => {
      expect(integrateSteps(list, { fromMs: 0, toMs: 100, maxHoldMs })).toEqual(
        slowly(list, 0, 100, maxHoldMs),
      );
    }),
  );
});

test("the stretches of a whole add up to it", () => {
  fc.assert(
    fc.property(samples, fc.integer({ min: 0, max: 100 }), (list, cut) => {
      const whole = integrateSteps(list, { fromMs: 0, toMs: 100 });
      const left = integrateSteps(list, { fromMs: 0, toMs: cut });
      const right = integrateSteps(list, { fromMs: cut, toMs: 100 });
      expect(left.knownMs + right.knownMs).toBe(whole.knownMs);
      expect(left.integral + right.integral).toBe(whole.integral);
    }),
  );
});

test("the mean is weighted by how long a value held, and there is none where nothing was known", () => {
  const list = [
    { atMs: -10, value: 4 },
    { atMs: 75, value: 8 },
  ];
  expect(timeWeightedMean(list, { fromMs: 0, toMs: 100 })).toBe(5);
  expect(timeWeightedMean([{ atMs: 5, value: null }], { fromMs: 0, toMs: 10 })).toBeUndefined();
});
