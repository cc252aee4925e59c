import { createSimulatedDevices, DeviceModel, type SimulatedValue } from "@sluice/packs";
import { getPack } from "../packs/find-pack.ts";

/** Kinds of simulated devices. */
export const PROFILES = ["hydroponics", "environmental", "water"] as const;
/** One of {@link PROFILES}. */
export type Profile = (typeof PROFILES)[number];

const DAYLIGHT = [
  0, 0, 0, 0, 0, 0.02, 0.1, 0.26, 0.5, 0.71, 0.87, 0.97, 1, 0.97, 0.87, 0.71, 0.5, 0.26, 0.1, 0.02, 0, 0, 0,
  0,
];
const RUSH = [
  0.5, 0.4, 0.4, 0.4, 0.5, 0.8, 1.3, 1.8, 1.7, 1.3, 1.1, 1.1, 1.1, 1.1, 1.1, 1.2, 1.4, 1.7, 1.6, 1.2, 1, 0.8,
  0.7, 0.6,
];

/** Models of the profiles that no pack has: weather by a road, and the quality of a river's water. */
const MODELS: Record<Exclude<Profile, "hydroponics">, { fields: object }> = {
  environmental: {
    fields: {
      temperature: {
        base: 14,
        swing: { amplitude: 6, peakHour: 15 },
        weather: { amplitude: 3 },
        noise: 0.2,
        bias: 0.5,
      },
      humidity: {
        ...{ base: 72, swing: { amplitude: 14, peakHour: 4 }, weather: { amplitude: 8 } },
        ...{ noise: 1, noiseMinutes: 10, min: 15, max: 100, decimals: 1 },
      },
      pressure: {
        base: 1013.2,
        weather: { amplitude: 12 },
        noise: 0.05,
        noiseMinutes: 1,
        bias: 0.4,
        decimals: 1,
      },
      co2: { base: 480, hourly: RUSH, noise: 12, noiseMinutes: 3, min: 400, decimals: 0 },
      pm2_5: { base: 8, hourly: RUSH, noise: 1, bias: 2, min: 0, decimals: 1 },
      noise_level: {
        base: 42,
        hourly: RUSH.map((factor) => 0.8 + factor / 5),
        noise: 2,
        noiseMinutes: 1,
        decimals: 1,
      },
      light_level: { base: 60_000, hourly: DAYLIGHT, bias: 5000, min: 0, decimals: 0 },
    },
  },
  water: {
    fields: {
      water_temperature: {
        base: 11.5,
        swing: { amplitude: 1.4, peakHour: 16 },
        weather: { amplitude: 0.8 },
        bias: 0.3,
      },
      ph: { base: 7.5, weather: { amplitude: 0.15 }, noise: 0.01, noiseMinutes: 1, bias: 0.1 },
      turbidity: { base: 5, weather: { amplitude: 4 }, noise: 0.3, min: 0 },
      dissolved_oxygen: { base: 10.9, swing: { amplitude: 0.4, peakHour: 4 }, noise: 0.1, noiseMinutes: 10 },
      conductivity: { base: 450, weather: { amplitude: 40 }, noise: 2, bias: 15, decimals: 0 },
      flow_rate: { base: 30, swing: { amplitude: 8, peakHour: 13 }, noise: 4, noiseMinutes: 10, min: 0 },
      level: { base: 3.3, weather: { amplitude: 0.2 }, noise: 0.01, noiseMinutes: 1, decimals: 3 },
    },
  },
};

/** Readings of simulated device number `device`, from 0, at an instant. */
export type ProfileReader = (device: number, timeMs: number) => Record<string, SimulatedValue>;

/**
 * Opens the devices of a profile: the same seed, device and time always give the same seven values. Hydroponics are
 * those of the pack, without their faults: every message is to be counted.
 */
export async function openProfile(
  profile: Profile,
  { devices, seed }: { devices: number; seed: number },
): Promise<ProfileReader> {
  const plain = { id: `${profile}-{n}`, type: profile, everySeconds: 10 };
  const [model] =
    profile === "hydroponics"
      ? (await getPack(profile)).simulator.devices
      : [DeviceModel.parse({ ...plain, ...MODELS[profile] })];
  if (!model) throw new Error(`the pack ${profile} simulates nothing`);
  const simulated = createSimulatedDevices([{ ...model, count: devices, faults: [] }], seed);
  return (device, timeMs) => simulated[device]?.read(timeMs) ?? {};
}
