import { expect, test } from "@jest/globals";
import { openProfile, PROFILES } from "./profiles.ts";

const NOON = Date.UTC(2026, 5, 1, 12);

test.each(PROFILES)(
  "%s devices repeat themselves exactly for one seed, and differ from one another",
  async (profile) => {
    const [read, again, other] = await Promise.all(
      [1, 1, 2].map((seed) => openProfile(profile, { devices: 9, seed })),
    );
    expect(read?.(7, NOON)).toEqual(again?.(7, NOON));
    expect(read?.(7, NOON)).not.toEqual(read?.(8, NOON));
    expect(read?.(7, NOON)).not.toEqual(other?.(7, NOON));
  },
);

test.each(PROFILES)("%s values stay finite and plausible all through a month", async (profile) => {
  const read = await openProfile(profile, { devices: 20, seed: 3 });
  for (let hour = 0; hour < 720; hour++) {
    const readings = read(hour % 20, NOON + hour * 3_600_000);
    expect(Object.keys(readings)).toHaveLength(7);
    for (const value of Object.values(readings)) expect(Number.isFinite(value)).toBe(true);
    if (readings.humidity !== undefined) expect(readings.humidity).toBeLessThanOrEqual(100);
    if (readings.ph !== undefined) expect(Math.abs(Number(readings.ph) - 6.7)).toBeLessThan(1.5);
  }
});

test("a greenhouse is dark at night and warmer in the afternoon than before dawn", async () => {
  const read = await openProfile("hydroponics", { devices: 1, seed: 1 });
  const at = (hour: number) => read(0, Date.UTC(2026, 5, 1, hour));
  expect(at(2).light_level).toBeLessThan(500);
  expect(at(12).light_level).toBeGreaterThan(10_000);
  expect(Number(at(15).temperature)).toBeGreaterThan(Number(at(3).temperature));
});

test("neighbouring seconds are close: series are smooth, not white noise", async () => {
  const read = await openProfile("hydroponics", { devices: 1, seed: 1 });
  for (let s = 0; s < 300; s++) {
    const [a, b] = [0, 1000].map((ms) => Number(read(0, NOON + s * 1000 + ms).temperature));
    expect(Math.abs((a ?? 0) - (b ?? 0))).toBeLessThan(0.2);
  }
});
