import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { limitOf, type RuleState, type SensorRule, stepRule, type TimedValue } from "./alert-rule.ts";
import { previewRule } from "./preview-rule.ts";

const MINUTE = 60_000_000;
const rule = (change: Partial<SensorRule> = {}): SensorRule => ({
  condition: "above",
  threshold: 30,
  min: 10,
  max: 30,
  warningMargin: 0,
  hysteresis: 0,
  durationUs: 0,
  rateWindowUs: 0,
  ...change,
});
/** One reading a minute. */
const minutely = (...values: number[]): TimedValue[] =>
  values.map((value, i) => ({ timeUs: i * MINUTE, value }));

function levels(of: SensorRule, readings: readonly TimedValue[]): string {
  let state: RuleState | undefined;
  return readings
    .map((reading) => {
      const step = stepRule(of, state, reading);
      state = step.state;
      return step.over ? "-" : String(step.level);
    })
    .join("");
}

test("each condition holds beyond its limit and not on it", () => {
  expect(levels(rule(), minutely(29, 30, 30.1, 30, 31))).toBe("--2-2");
  expect(levels(rule({ condition: "below", threshold: 5 }), minutely(6, 5, 4, 5))).toBe("--2-");
  expect(levels(rule({ condition: "out_of_range" }), minutely(10, 9, 20, 31, 30))).toBe("-2-2-");
  expect(levels(rule({ condition: "rate_of_change", threshold: 3 }), minutely(0, 3, 7, 6, 2))).toBe("--2-2");
});

test("it warns within the margin before the limit, and says so when the limit is passed", () => {
  expect(levels(rule({ warningMargin: 2 }), minutely(27, 28.5, 31, 29, 28))).toBe("-121-");
  expect(levels(rule({ condition: "out_of_range", warningMargin: 2 }), minutely(13, 11, 9, 20))).toBe("-12-");
});

test("a condition has to hold for its duration without a break", () => {
  const slow = rule({ durationUs: 3 * MINUTE });
  expect(levels(slow, minutely(31, 31, 31, 31, 31, 20))).toBe("00022-");
  expect(levels(slow, minutely(31, 31, 29, 31, 31, 31, 31))).toBe("00-0002");
});

test("hysteresis keeps an alert from ending at once, but does not help to raise one", () => {
  expect(levels(rule({ hysteresis: 2 }), minutely(31, 29, 28.5, 28, 29))).toBe("222--");
  expect(levels(rule({ hysteresis: 2, durationUs: 2 * MINUTE }), minutely(31, 29, 29, 29))).toBe("0---");
});

test("a rate over a window is not fooled by noise", () => {
  const drift = rule({ condition: "rate_of_change", threshold: 1, rateWindowUs: 10 * MINUTE });
  expect(levels(drift, minutely(20, 23, 20, 23, 20, 20, 20))).toBe("-------");
  expect(levels(drift, minutely(...Array.from({ length: 12 }, (_, i) => 20 + 2 * i)))).toBe("-----2222222");
});

test("of a range the nearer limit is named", () => {
  const range = rule({ condition: "out_of_range" });
  expect([limitOf(range, 5), limitOf(range, 40)]).toEqual([10, 30]);
});

test("a preview names each alert with its beginning, its end and its worst value", () => {
  const of = rule({ durationUs: MINUTE, warningMargin: 1 });
  expect(previewRule(of, minutely(20, 31, 35, 33, 20, 29.5, 29.8, 20, 31, 32))).toEqual([
    { sinceUs: MINUTE, raisedUs: 2 * MINUTE, endUs: 4 * MINUTE, level: 2, peak: 35 },
    { sinceUs: 5 * MINUTE, raisedUs: 6 * MINUTE, endUs: 7 * MINUTE, level: 1, peak: 29.8 },
    { sinceUs: 8 * MINUTE, raisedUs: 9 * MINUTE, endUs: null, level: 2, peak: 32 },
  ]);
});

const arbitraryRule = fc.record({
  condition: fc.constantFrom(
    "above" as const,
    "below" as const,
    "out_of_range" as const,
    "rate_of_change" as const,
  ),
  threshold: fc.integer({ min: -5, max: 5 }),
  min: fc.integer({ min: -5, max: 0 }),
  max: fc.integer({ min: 0, max: 5 }),
  warningMargin: fc.integer({ min: 0, max: 2 }),
  hysteresis: fc.integer({ min: 0, max: 2 }),
  durationUs: fc.constantFrom(0, MINUTE, 3 * MINUTE),
  rateWindowUs: fc.constantFrom(0, 4 * MINUTE),
});
const series = fc
  .array(fc.record({ step: fc.integer({ min: 1, max: 3 }), value: fc.integer({ min: -8, max: 8 }) }))
  .map((steps) => {
    let timeUs = 0;
    return steps.map(({ step, value }) => {
      timeUs += step * MINUTE;
      return { timeUs, value };
    });
  });

test("late and repeated readings change nothing, whatever the rule", () => {
  fc.assert(
    fc.property(arbitraryRule, series, fc.infiniteStream(fc.nat()), (of, readings, picks) => {
      let clean: RuleState | undefined;
      let disturbed: RuleState | undefined;
      for (const [i, reading] of readings.entries()) {
        clean = stepRule(of, clean, reading).state;
        disturbed = stepRule(of, disturbed, reading).state;
        const old = readings[(picks.next().value as number) % (i + 1)] as TimedValue;
        const late = stepRule(of, disturbed, { timeUs: old.timeUs, value: old.value * 100 });
        expect(late.state).toEqual(clean);
        disturbed = JSON.parse(JSON.stringify(late.state)) as RuleState;
      }
    }),
  );
});

test("an alert needs bad readings for the whole duration right before it", () => {
  const plain = arbitraryRule.filter(({ condition }) => condition !== "rate_of_change");
  fc.assert(
    fc.property(plain, series, (of, readings) => {
      const bad = ({ value }: TimedValue) =>
        of.condition === "above"
          ? value > of.threshold - of.warningMargin
          : of.condition === "below"
            ? value < of.threshold + of.warningMargin
            : value > of.max - of.warningMargin || value < of.min + of.warningMargin;
      for (const { sinceUs, raisedUs } of previewRule(of, readings)) {
        const within = readings.filter(({ timeUs }) => timeUs >= sinceUs && timeUs <= raisedUs);
        expect(raisedUs - sinceUs).toBeGreaterThanOrEqual(of.durationUs);
        expect(within.every(bad)).toBe(true);
      }
    }),
  );
});
