import { describe, expect, test } from "@jest/globals";
import { DEFAULT_CLOCK_POLICY, parseTime, resolveTime } from "./clock.ts";

const now = Date.UTC(2026, 5, 1, 12) * 1000;
const us = (iso: string) => Date.parse(iso) * 1000;

describe("parseTime", () => {
  test.each<[unknown, number | undefined]>([
    [1_700_000_000, 1_700_000_000_000_000],
    [1_700_000_000.25, 1_700_000_000_250_000],
    [1_700_000_000_123, 1_700_000_000_123_000],
    [1_700_000_000_123_456, 1_700_000_000_123_456],
    [1.7e18, 1.7e15],
    ["1700000000", 1_700_000_000_000_000],
    ["2024-01-01T12:00:00Z", us("2024-01-01T12:00:00Z")],
    ["2024-01-01T12:00:00.123456Z", us("2024-01-01T12:00:00Z") + 123_456],
    ["2024-01-01 12:00:00+02:00", us("2024-01-01T10:00:00Z")],
    ["2024-01-01T12:00:00-0330", us("2024-01-01T15:30:00Z")],
    ["2024-01-01", us("2024-01-01T00:00:00Z")],
    ["2026-02-30T00:00:00Z", undefined],
    ["2026-01-01T25:00:00Z", undefined],
    ["yesterday", undefined],
    ["", undefined],
    [Number.NaN, undefined],
    [true, undefined],
    [{}, undefined],
  ])("%p", (value, expected) => {
    expect(parseTime(value)).toBe(expected);
  });

  test("naive local times follow the zone, through the gap and the repeated hour", () => {
    const zone = "Europe/Amsterdam";
    expect(parseTime("2026-01-15T12:00:00", zone)).toBe(us("2026-01-15T11:00:00Z"));
    expect(parseTime("2026-07-15T12:00:00", zone)).toBe(us("2026-07-15T10:00:00Z"));
    expect(parseTime("2026-03-29T02:30:00", zone)).toBe(us("2026-03-29T01:30:00Z"));
    expect(parseTime("2026-10-25T02:30:00", zone)).toBe(us("2026-10-25T00:30:00Z"));
    expect(parseTime("2026-07-15T12:00:00", "Asia/Kathmandu")).toBe(us("2026-07-15T06:15:00Z"));
  });
});

describe("clock policy", () => {
  const resolve = (time: unknown, ageMs?: number) =>
    resolveTime(ageMs === undefined ? { time } : { time, ageMs }, now, DEFAULT_CLOCK_POLICY);

  test("no clock: the server's time", () =>
    expect(resolve(undefined)).toEqual({ timeUs: now, clock: "none" }));
  test.each([0, 1, -1, "1970-01-01T00:00:05Z"])("%p is an unset clock", (time) =>
    expect(resolve(time)).toEqual({ timeUs: now, clock: "past" }),
  );
  test("seconds for milliseconds are told apart by size", () =>
    expect(resolve(now / 1e6 - 10)).toEqual({ timeUs: now - 10_000_000, clock: "device" }));
  test.each(["2036-01-01T00:00:00Z", 9_999_999_999_999, "9999-12-31T00:00:00Z", 8.64e15])(
    "%p is too far ahead",
    (time) => expect(resolve(time)).toEqual({ timeUs: now, clock: "future" }),
  );
  test("a skew of minutes is the device's own time", () =>
    expect(resolve(now / 1e6 + 300)).toEqual({ timeUs: now + 300_000_000, clock: "device" }));
  test("a time that is none is named", () =>
    expect(resolve("gestern")).toEqual({ timeUs: now, clock: "unparsable" }));
  test("age_ms dates a sample without a clock, also beside an unset one", () => {
    expect(resolve(undefined, 1500)).toEqual({ timeUs: now - 1_500_000, clock: "age" });
    expect(resolve(0, 1500)).toEqual({ timeUs: now - 1_500_000, clock: "age" });
  });
});
