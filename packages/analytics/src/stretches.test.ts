import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { energyByHour } from "./machine-energy.ts";
import { programTimes } from "./machine-programs.ts";
import {
  clipStretches,
  cutStretches,
  type Held,
  heldValues,
  joinStretches,
  type Stretch,
  subtractStretches,
  totalMs,
} from "./stretches.ts";
import type { Sample } from "./time-weighted.ts";

const SPAN = 120;
const samples = fc
  .uniqueArray(
    fc.record({
      atMs: fc.integer({ min: -40, max: SPAN + 40 }),
      value: fc.option(fc.integer({ min: 0, max: 9 })),
    }),
    { selector: ({ atMs }) => atMs, maxLength: 25 },
  )
  .map((list): Sample[] => list.sort((a, b) => a.atMs - b.atMs));
const stretches = fc.array(
  fc
    .tuple(fc.integer({ min: -40, max: SPAN + 40 }), fc.integer({ min: 0, max: 50 }))
    .map(([fromMs, length]): Stretch => ({ fromMs, toMs: fromMs + length })),
  { maxLength: 12 },
);
const range = { fromMs: 0, toMs: SPAN };

const every = <T>(fromMs: number, toMs: number, at: (ms: number) => T) =>
  Array.from({ length: toMs - fromMs }, (_, i) => at(fromMs + i));
/** What holds at an instant. */
const valueAt = (held: readonly Held[], ms: number) =>
  held.filter(({ fromMs, toMs }) => ms >= fromMs && ms < toMs).map(({ value }) => value);
const covers = (list: readonly Stretch[], ms: number) =>
  list.some(({ fromMs, toMs }) => ms >= fromMs && ms < toMs);

test("at every instant the last sample holds: carried in, ended by null, and unknown after the log's end", () => {
  fc.assert(
    fc.property(samples, fc.integer({ min: 0, max: SPAN + 40 }), (list, past) => {
      const knownToMs = Math.max(past, list.at(-1)?.atMs ?? 0);
      const held = heldValues(list, { ...range, knownToMs });
      const slowly = every(-5, SPAN + 5, (ms) => {
        const last = list.findLast(({ atMs }) => atMs <= ms);
        const known = ms >= 0 && ms < SPAN && ms < knownToMs && last && last.value !== null;
        return known ? [last.value] : [];
      });
      expect(every(-5, SPAN + 5, (ms) => valueAt(held, ms))).toEqual(slowly);
    }),
  );
});

test("joined stretches cover what any of them does, once", () => {
  fc.assert(
    fc.property(stretches, (list) => {
      const joined = joinStretches(list);
      const covered = every(-45, SPAN + 100, (ms) => covers(list, ms));
      expect(every(-45, SPAN + 100, (ms) => covers(joined, ms))).toEqual(covered);
      expect(totalMs(joined)).toBe(covered.filter(Boolean).length);
    }),
  );
});

test("what is left after gaps are taken away is what lies outside of them, with its value", () => {
  fc.assert(
    fc.property(samples, stretches, (list, gaps) => {
      const held = heldValues(list, { ...range, knownToMs: SPAN });
      const left = subtractStretches(held, joinStretches(gaps));
      const slowly = every(0, SPAN, (ms) => (covers(gaps, ms) ? [] : valueAt(held, ms)));
      expect(every(0, SPAN, (ms) => valueAt(left, ms))).toEqual(slowly);
    }),
  );
});

test("cutting and clipping keep every millisecond, and no piece crosses an edge", () => {
  fc.assert(
    fc.property(stretches, fc.integer({ min: 1, max: 30 }), (list, step) => {
      const joined = joinStretches(list);
      const cut = cutStretches(joined, step);
      expect(totalMs(cut)).toBe(totalMs(joined));
      expect(
        cut.every(({ fromMs, toMs }) => Math.floor(fromMs / step) === Math.floor((toMs - 1) / step)),
      ).toBe(true);
      const inside = clipStretches(joined, range);
      const slowly = every(-45, SPAN + 100, (ms) => ms >= 0 && ms < SPAN && covers(joined, ms));
      expect(every(-45, SPAN + 100, (ms) => covers(inside, ms))).toEqual(slowly);
    }),
  );
});

const HOUR_MS = 3_600_000;
const long = fc.array(
  fc.record({
    lengthMs: fc.integer({ min: 1, max: 40 * HOUR_MS }),
    value: fc.integer({ min: 0, max: 1200 }),
  }),
  { maxLength: 20 },
);
const inARow = (list: readonly { lengthMs: number; value: number }[]): Held[] => {
  let atMs = Date.UTC(2022, 1, 20);
  return list.map(({ lengthMs, value }) => {
    const fromMs = atMs;
    atMs += lengthMs;
    return { fromMs, toMs: atMs, value };
  });
};

test("energy of the hours adds up to power times time, wherever stretches lie", () => {
  fc.assert(
    fc.property(long, (list) => {
      const hours = energyByHour([{ nominalKw: 15.1, utilization: inARow(list) }]);
      const whole = list.reduce(
        (sum, { lengthMs, value }) => sum + (value / 100) * 15.1 * (lengthMs / HOUR_MS),
        0,
      );
      const sum = [...hours.values()].reduce((total, kwh) => total + kwh, 0);
      expect(Math.abs(sum - whole)).toBeLessThan(0.0005 * (hours.size + 1));
      for (const [hourMs, kwh] of hours)
        expect(hourMs % HOUR_MS === 0 && kwh <= 12 * 15.1 + 0.001).toBe(true);
    }),
  );
});

test("programs of a day never take longer than the day, and only 0 to 999 are programs", () => {
  fc.assert(
    fc.property(long, (list) => {
      const days = new Map<number, number>();
      const times = programTimes(inARow(list));
      expect(times.every(({ program, seconds }) => program >= 0 && program < 1000 && seconds >= 0)).toBe(
        true,
      );
      for (const { dayMs, seconds } of times) {
        days.set(dayMs, (days.get(dayMs) ?? 0) + seconds);
      }
      // each program is rounded to the second
      expect(Math.max(0, ...days.values())).toBeLessThanOrEqual(86_400 + list.length);
    }),
  );
});
