import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { dateOf, nextDate, siteDays, startOfDate } from "./site-day.ts";

const HOUR_MS = 3_600_000;
const hoursOf = (date: string, zone: string) =>
  (startOfDate(nextDate(date), zone) - startOfDate(date, zone)) / HOUR_MS;

test("days of a clock change have 23 and 25 hours, or half an hour more or less", () => {
  expect(hoursOf("2026-03-29", "Europe/Amsterdam")).toBe(23);
  expect(hoursOf("2026-10-25", "Europe/Amsterdam")).toBe(25);
  expect(hoursOf("2026-10-25", "UTC")).toBe(24);
  expect(hoursOf("2026-04-05", "Australia/Lord_Howe")).toBe(24.5);
});

test("zones with half and quarter hours begin their days there", () => {
  expect(new Date(startOfDate("2026-01-02", "Asia/Kathmandu")).toISOString()).toBe(
    "2026-01-01T18:15:00.000Z",
  );
  expect(new Date(startOfDate("2026-01-02", "Asia/Kolkata")).toISOString()).toBe("2026-01-01T18:30:00.000Z");
});

test("a day begins after a midnight that is left out, at the first of two, and a skipped day is none", () => {
  // clocks went from 00:00 to 01:00
  expect(new Date(startOfDate("2018-11-04", "America/Sao_Paulo")).toISOString()).toBe(
    "2018-11-04T03:00:00.000Z",
  );
  expect(hoursOf("2018-11-04", "America/Sao_Paulo")).toBe(23);
  // clocks went from 01:00 back to 00:00
  expect(new Date(startOfDate("2025-11-02", "America/Havana")).toISOString()).toBe(
    "2025-11-02T04:00:00.000Z",
  );
  expect(hoursOf("2025-11-02", "America/Havana")).toBe(25);
  const days = siteDays(Date.UTC(2011, 11, 29), Date.UTC(2012, 0, 1), "Pacific/Apia").map(({ date }) => date);
  expect(days).toEqual(["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]);
});

test("the days of a stretch follow each other without a gap, and every instant is in the day of its date", () => {
  const zone = fc.constantFrom("UTC", "Europe/Lisbon", "Asia/Kathmandu", "America/Havana", "Pacific/Chatham");
  const from = fc.integer({ min: Date.UTC(2020, 0, 1), max: Date.UTC(2030, 0, 1) });
  fc.assert(
    fc.property(zone, from, fc.integer({ min: 1, max: 10 * 24 * HOUR_MS }), (name, fromMs, lengthMs) => {
      const days = siteDays(fromMs, fromMs + lengthMs, name);
      expect(days[0]?.fromMs).toBeLessThanOrEqual(fromMs);
      expect(days.at(-1)?.toMs).toBeGreaterThanOrEqual(fromMs + lengthMs);
      for (const [i, day] of days.entries()) {
        if (i > 0) expect(day.fromMs).toBe(days[i - 1]?.toMs);
        expect([dateOf(day.fromMs, name), dateOf(day.toMs - 1, name)]).toEqual([day.date, day.date]);
        expect(day.fromMs % 300_000).toBe(0);
      }
    }),
    { numRuns: 40 },
  );
});

test("what is no date is refused", () => {
  expect(() => startOfDate("2026-02-30", "UTC")).toThrow(RangeError);
  expect(() => dateOf(0, "Europe/Atlantis")).toThrow(RangeError);
});
