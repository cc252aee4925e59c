import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { type Moments, mergeMoments, momentsOf, NO_MOMENTS, sampleDeviation } from "./moments.ts";
import { isFlatLine, spikeSeverity, zScore } from "./z-score.ts";

const values = fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { maxLength: 60 });

function expectClose(a: Moments, b: Moments): void {
  const scale = Math.max(1, Math.abs(a.max), Math.abs(a.min));
  expect(a.n).toBe(b.n);
  expect([a.min, a.max]).toEqual([b.min, b.max]);
  expect(Math.abs(a.mean - b.mean)).toBeLessThanOrEqual(1e-9 * scale);
  expect(Math.abs(a.m2 - b.m2)).toBeLessThanOrEqual(1e-9 * scale * scale * Math.max(1, a.n));
}

test("moments merged from any parts are the moments of the whole", () => {
  fc.assert(
    fc.property(fc.array(values, { maxLength: 8 }), (parts) => {
      const merged = parts.map(momentsOf).reduce(mergeMoments, NO_MOMENTS);
      if (merged.n > 0) expectClose(merged, momentsOf(parts.flat()));
    }),
  );
});

test("merging does not depend on the order", () => {
  fc.assert(
    fc.property(values, values, (a, b) => {
      fc.pre(a.length + b.length > 0);
      expectClose(mergeMoments(momentsOf(a), momentsOf(b)), mergeMoments(momentsOf(b), momentsOf(a)));
    }),
  );
});

test("deviation is that of the sample, and survives a large offset where sums of squares cancel", () => {
  expect(sampleDeviation(momentsOf([2, 4, 4, 4, 5, 5, 7, 9]))).toBeCloseTo(Math.sqrt(32 / 7), 12);
  const far = Array.from({ length: 1000 }, (_, i) => 1e9 + (i % 2));
  const merged = mergeMoments(momentsOf(far.slice(0, 500)), momentsOf(far.slice(500)));
  expect(merged.m2 / merged.n).toBeCloseTo(0.25, 6);
  expect(sampleDeviation(momentsOf([1]))).toBeUndefined();
});

test("a value is judged by ten earlier ones, also where those never changed", () => {
  const history = momentsOf([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(zScore(5, momentsOf([1, 2, 3]))).toBeUndefined();
  expect(zScore(5.5, history)).toBe(0);
  expect(spikeSeverity(zScore(14, history) ?? 0)).toBe("spike");
  expect(spikeSeverity(zScore(-9, history) ?? 0)).toBe("high");
  const still = momentsOf(Array(10).fill(3));
  expect([zScore(3, still), zScore(2, still)]).toEqual([0, -Infinity]);
});

test("sixty identical values are a flat line, fifty-nine are not", () => {
  expect(isFlatLine(Array(60).fill(2))).toBe(true);
  expect(isFlatLine(Array(59).fill(2))).toBe(false);
  expect(isFlatLine([...Array(59).fill(2), 3])).toBe(false);
});
