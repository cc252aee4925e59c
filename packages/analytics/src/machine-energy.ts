import { cutStretches, type Held } from "./stretches.ts";

const HOUR_MS = 3_600_000;

/** A motor: its nominal power, and when it was used by how many per cent. */
export interface Motor {
  readonly nominalKw: number;
  readonly utilization: readonly Held[];
}

/**
 * kWh of some motors by the start of the hour, to three decimals: utilization / 100 × nominal kW × hours, every stretch
 * booked to the hours in which it lay. Hours in which no utilization was known are left out.
 */
export function energyByHour(motors: readonly Motor[]): Map<number, number> {
  const hours = new Map<number, number>();
  const book = (hourMs: number, kwh: number) => hours.set(hourMs, (hours.get(hourMs) ?? 0) + kwh);
  for (const { nominalKw, utilization } of motors) {
    let hourMs = Number.NaN;
    let kwh = 0;
    for (const { fromMs, toMs, value } of cutStretches(utilization, HOUR_MS)) {
      if (!(fromMs < hourMs + HOUR_MS)) {
        if (!Number.isNaN(hourMs)) book(hourMs, kwh);
        hourMs = Math.floor(fromMs / HOUR_MS) * HOUR_MS;
        kwh = 0;
      }
      kwh += (value / 100) * nominalKw * ((toMs - fromMs) / HOUR_MS);
    }
    if (!Number.isNaN(hourMs)) book(hourMs, kwh);
  }
  return new Map([...hours].sort(([a], [b]) => a - b).map(([hourMs, kwh]) => [hourMs, round3(kwh)]));
}

const round3 = (value: number) => Math.round(value * 1000) / 1000;
