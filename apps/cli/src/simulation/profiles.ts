import { hashUnit, smoothNoise } from "@sluice/packs";

/** Kinds of simulated devices. */
export const PROFILES = ["hydroponics", "environmental", "water"] as const;
/** One of {@link PROFILES}. */
export type Profile = (typeof PROFILES)[number];

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

/** What all fields of a device have in common at one instant. */
interface Moment {
  /** Milliseconds since the epoch. */
  timeMs: number;
  /** -1 shortly before dawn to 1 in the afternoon. */
  warmth: number;
  /** 0 at night to 1 at noon. */
  light: number;
  /** Slow weather, -1 to 1, the same for all devices. */
  weather: number;
  /** Each field its own quick noise, -1 to 1. */
  jitter(field: number, periodMs: number): number;
  /** This device's constant bias of a field, -1 to 1. */
  bias(field: number): number;
}

type Model = (m: Moment) => Record<string, number>;

const MODELS: Record<Profile, Model> = { hydroponics, environmental, water };

/**
 * The readings of simulated device number `device` at `timeMs`: a pure function, so that the same seed, device
 * and time always give the same values. Days have a shape, devices a bias, sensors noise and a resolution.
 */
export function simulateReadings(
  profile: Profile,
  seed: number,
  device: number,
  timeMs: number,
): Record<string, number> {
  const hour = ((timeMs % DAY_MS) / DAY_MS) * 24;
  return MODELS[profile]({
    timeMs,
    warmth: Math.cos(((hour - 15) / 24) * 2 * Math.PI),
    light: Math.max(0, Math.sin(((hour - 6) / 12) * Math.PI)),
    weather: smoothNoise(seed, timeMs, 6 * HOUR_MS),
    jitter: (field, periodMs) => smoothNoise(seed * 31 + device * 977 + field, timeMs, periodMs),
    bias: (field) => hashUnit(seed, device, field) * 2 - 1,
  });
}

function hydroponics(m: Moment): Record<string, number> {
  const temperature = 22.5 + 3 * m.warmth + m.weather + 0.6 * m.bias(1) + 0.3 * m.jitter(1, 5 * MINUTE_MS);
  // the tank is topped up once a day and drinks about 1 % an hour
  const sinceFill = ((m.timeMs / HOUR_MS + 12 * (1 + m.bias(5))) % 24) / 24;
  const dosing = m.jitter(3, 4 * HOUR_MS);
  return {
    temperature: round(temperature, 1),
    humidity: round(clamp(66 - 4 * (temperature - 22.5) + 3 * m.jitter(2, 10 * MINUTE_MS), 20, 99), 1),
    ph: round(6 + 0.25 * dosing + 0.1 * m.bias(3) + 0.02 * m.jitter(13, MINUTE_MS), 2),
    ec: round(1.6 - 0.2 * dosing + 0.15 * sinceFill + 0.01 * m.jitter(4, MINUTE_MS), 2),
    water_level: round(clamp(98 - 24 * sinceFill + 0.3 * m.jitter(5, MINUTE_MS), 0, 100), 1),
    light_level: round(
      Math.max(0, 42_000 * m.light * (0.75 + 0.25 * m.weather) + 200 * m.jitter(6, MINUTE_MS)),
      0,
    ),
    water_temp: round(20.5 + 1.2 * m.warmth + 0.4 * m.bias(7) + 0.06 * m.jitter(7, 10 * MINUTE_MS), 2),
  };
}

function environmental(m: Moment): Record<string, number> {
  const temperature = 14 + 6 * m.warmth + 3 * m.weather + 0.5 * m.bias(1) + 0.2 * m.jitter(1, 5 * MINUTE_MS);
  const traffic = Math.max(0, m.jitter(5, 2 * HOUR_MS)) + 0.3;
  return {
    temperature: round(temperature, 2),
    humidity: round(
      clamp(72 - 2.6 * (temperature - 14) - 6 * m.weather + m.jitter(2, 10 * MINUTE_MS), 15, 100),
      1,
    ),
    pressure: round(1013.2 + 12 * m.weather + 0.4 * m.bias(3) + 0.05 * m.jitter(3, MINUTE_MS), 1),
    co2: round(420 + 260 * traffic + 12 * m.jitter(4, 3 * MINUTE_MS), 0),
    pm2_5: round(4 + 14 * traffic + m.jitter(6, 5 * MINUTE_MS), 1),
    noise_level: round(38 + 16 * traffic + 2 * m.jitter(7, MINUTE_MS), 1),
    light_level: round(Math.max(0, 68_000 * m.light * (0.6 + 0.4 * m.weather)), 0),
  };
}

function water(m: Moment): Record<string, number> {
  const rain = Math.max(0, m.weather);
  const demand = 0.35 + 0.65 * m.light + 0.15 * m.jitter(6, 10 * MINUTE_MS);
  const temperature = 11.5 + 1.4 * m.warmth + 0.8 * m.weather + 0.3 * m.bias(1);
  return {
    water_temperature: round(temperature, 2),
    ph: round(7.6 - 0.3 * rain + 0.1 * m.bias(2) + 0.01 * m.jitter(2, MINUTE_MS), 2),
    turbidity: round(1.2 + 18 * rain * rain + 0.3 * Math.abs(m.jitter(3, 5 * MINUTE_MS)), 2),
    dissolved_oxygen: round(14.6 - 0.32 * temperature + 0.1 * m.jitter(4, 10 * MINUTE_MS), 2),
    conductivity: round(480 - 90 * rain + 15 * m.bias(5) + 2 * m.jitter(5, MINUTE_MS), 0),
    flow_rate: round(Math.max(0, 42 * demand), 2),
    level: round(3.2 + 0.5 * rain - 0.2 * demand + 0.01 * m.jitter(7, MINUTE_MS), 3),
  };
}

const clamp = (value: number, min: number, max: number) => Math.min(max, Math.max(min, value));

function round(value: number, digits: number): number {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale;
}
