import { expect, test } from "@jest/globals";
import { conditionOf, conditionShares, widestRange } from "./conditions.ts";
import { dailyLightIntegral, fromWetBulb, vpdBand, vpdKpa } from "./psychrometrics.ts";

test("the widest range ignores bounds that a stage leaves open", () => {
  expect(
    widestRange([
      { min: 18, max: 22 },
      { min: null, max: null },
      { min: 20, max: 28 },
    ]),
  ).toEqual({ min: 18, max: 28 });
  expect(widestRange([{ min: null, max: 5 }])).toBeUndefined();
});

test("critical begins beyond a fifth of the width", () => {
  const range = { min: 18, max: 28 };
  expect([18, 28, 16, 30, 15.9, 30.1].map((v) => conditionOf(v, range))).toEqual([
    "optimal",
    "optimal",
    "stressed",
    "stressed",
    "critical",
    "critical",
  ]);
});

test("shares are of the weights, to two decimals; without weight there are none", () => {
  const weigh = (value: number, weight: number) => ({ value, weight });
  const range = { min: 0, max: 10 };
  expect(conditionShares([weigh(5, 1), weigh(50, 1), weigh(11, 1)], range)).toEqual({
    optimalPct: 33.33,
    criticalPct: 33.33,
  });
  expect(conditionShares([], range)).toBeUndefined();
});

test("vapour pressure deficit, wet bulb and light follow the documents' formulas", () => {
  expect(vpdKpa(25, 60)).toBeCloseTo(1.267, 3);
  expect(vpdBand(vpdKpa(25, 60))).toBe("high");
  expect(fromWetBulb(25, 25)).toEqual({ humidityPct: 100, vpdKpa: 0 });
  expect(fromWetBulb(25, 18).humidityPct).toBeCloseTo(50.3, 0);
  expect(fromWetBulb(25, -20).humidityPct).toBe(0);
  expect(dailyLightIntegral(20_000 * 12 * 3600)).toBeCloseTo(15.984, 6);
});
