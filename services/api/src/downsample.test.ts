import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { extremes, findGaps, largestTriangles, medianStep, type Point } from "./downsample.ts";

const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 400 });
const toPoints = (list: readonly number[]): Point[] => list.map((value, i) => ({ timeUs: i * 1000, value }));

describe("thinning out", () => {
  test("largest triangles keep first and last, the order, and no more than asked", () => {
    fc.assert(
      fc.property(values, fc.integer({ min: 3, max: 100 }), (list, count) => {
        const points = toPoints(list);
        const kept = largestTriangles(points, count);
        expect(kept.length).toBe(Math.min(points.length, count));
        expect(kept[0]).toBe(points[0]);
        expect(kept.at(-1)).toBe(points.at(-1));
        for (let i = 1; i < kept.length; i++)
          expect(kept[i]?.timeUs).toBeGreaterThan(kept[i - 1]?.timeUs ?? 0);
      }),
    );
  });

  test("extremes lose neither the highest nor the lowest value, nor a reading", () => {
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 50 }), (list, count) => {
        const points = toPoints(list);
        const thin = extremes(points, 0, points.length * 1000, count);
        expect(thin.length).toBeLessThanOrEqual(Math.max(count, 1) + 1);
        const most = Math.max(...thin.map(({ max, value }) => max ?? value ?? 0));
        expect(most).toBe(Math.max(...list));
        expect(thin.reduce((n, point) => n + (point.n ?? 1), 0)).toBe(list.length);
      }),
    );
  });

  test("a gap is longer than what is usual", () => {
    expect(medianStep([0, 10, 20, 50, 60])).toBe(10);
    expect(medianStep([5])).toBeUndefined();
    expect(findGaps([0, 10, 20, 50, 60], 25)).toEqual([{ fromUs: 20, toUs: 50 }]);
  });
});
