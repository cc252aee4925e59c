import { expect, test } from "@jest/globals";
import fc from "fast-check";
import type { TimedValue } from "./alert-rule.ts";
import { checkQuality, type QualityLimits, type QualityState } from "./quality-check.ts";

const MINUTE = 60_000_000;
const NONE: QualityLimits = {
  min: null,
  max: null,
  spike: null,
  ratePerMinute: null,
  flatCount: null,
  flatUs: 0,
  gapUs: null,
};

/** Flags by the minute of the reading they belong to. */
function flagsOf(limits: Partial<QualityLimits>, readings: readonly TimedValue[]): string[] {
  let state: QualityState | undefined;
  return readings
    .flatMap((reading) => {
      const step = checkQuality({ ...NONE, ...limits }, state, reading);
      state = JSON.parse(JSON.stringify(step.state)) as QualityState;
      return step.flags;
    })
    .map(({ timeUs, flag }) => `${timeUs / MINUTE} ${flag}`);
}
const minutely = (...values: number[]): TimedValue[] =>
  values.map((value, i) => ({ timeUs: i * MINUTE, value }));

test("a value outside the range is flagged", () => {
  expect(flagsOf({ min: 0, max: 14 }, minutely(0, 14, 14.1, -1, 7))).toEqual(["2 range", "3 range"]);
});

test("a spike is flagged at its own reading, a step is none", () => {
  expect(flagsOf({ spike: 5 }, minutely(20, 20, 40, 20, 20))).toEqual(["2 spike"]);
  expect(flagsOf({ spike: 5 }, minutely(20, 20, 40, 40, 40))).toEqual([]);
});

test("a change that is too fast is flagged", () => {
  expect(flagsOf({ ratePerMinute: 2 }, minutely(20, 22, 25, 25))).toEqual(["2 rate"]);
});

test("a line is flat after enough equal values that last long enough", () => {
  expect(flagsOf({ flatCount: 3 }, minutely(1, 5, 5, 5, 5, 1))).toEqual(["3 flat_line", "4 flat_line"]);
  expect(flagsOf({ flatCount: 3, flatUs: 3 * MINUTE }, minutely(5, 5, 5, 5))).toEqual(["3 flat_line"]);
});

test("the reading after a gap is flagged, and not judged by what lies before it", () => {
  const readings = [...minutely(20, 20), { timeUs: 30 * MINUTE, value: 90 }];
  expect(flagsOf({ gapUs: 5 * MINUTE, ratePerMinute: 1, spike: 1 }, readings)).toEqual(["30 gap"]);
});

test("readings that are equal and evenly spaced are only ever flagged as flat", () => {
  const limits = { min: 0, max: 100, spike: 0, ratePerMinute: 0, flatCount: 5, gapUs: MINUTE };
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 100 }), fc.nat(20), (value, count) => {
      const flags = flagsOf(limits, minutely(...Array<number>(count).fill(value)));
      expect(flags).toHaveLength(Math.max(0, count - 4));
      expect(flags.every((flag) => flag.endsWith("flat_line"))).toBe(true);
    }),
  );
});
