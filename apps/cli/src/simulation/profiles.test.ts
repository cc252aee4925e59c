import { expect, test } from "@jest/globals";
import { PROFILES, simulateReadings } from "./profiles.ts";

const NOON = Date.UTC(2026, 5, 1, 12);

test.each(PROFILES)(
  "%s devices repeat themselves exactly for one seed, and differ from one another",
  (profile) => {
    expect(simulateReadings(profile, 1, 7, NOON)).toEqual(simulateReadings(profile, 1, 7, NOON));
    expect(simulateReadings(profile, 1, 7, NOON)).not.toEqual(simulateReadings(profile, 1, 8, NOON));
    expect(simulateReadings(profile, 1, 7, NOON)).not.toEqual(simulateReadings(profile, 2, 7, NOON));
  },
);

test.each(PROFILES)("%s values stay finite and plausible all through a month", (profile) => {
  for (let hour = 0; hour < 720; hour++) {
    const readings = simulateReadings(profile, 3, hour % 20, NOON + hour * 3_600_000);
    expect(Object.keys(readings)).toHaveLength(7);
    for (const value of Object.values(readings)) expect(Number.isFinite(value)).toBe(true);
    if (readings.humidity !== undefined) expect(readings.humidity).toBeLessThanOrEqual(100);
    if (readings.ph !== undefined) expect(Math.abs(readings.ph - 6.7)).toBeLessThan(1.5);
  }
});

test("a greenhouse is dark at night and warmer in the afternoon than before dawn", () => {
  const at = (hour: number) => simulateReadings("hydroponics", 1, 1, Date.UTC(2026, 5, 1, hour));
  expect(at(2).light_level).toBeLessThan(500);
  expect(at(12).light_level).toBeGreaterThan(10_000);
  expect(at(15).temperature).toBeGreaterThan(at(3).temperature ?? Number.NaN);
});

test("neighbouring seconds are close: series are smooth, not white noise", () => {
  for (let s = 0; s < 300; s++) {
    const a = simulateReadings("hydroponics", 1, 1, NOON + s * 1000).temperature ?? 0;
    const b = simulateReadings("hydroponics", 1, 1, NOON + s * 1000 + 1000).temperature ?? 0;
    expect(Math.abs(a - b)).toBeLessThan(0.2);
  }
});
