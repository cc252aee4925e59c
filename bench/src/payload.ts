/** Readings of one message of source system A's firmware. */
export const READINGS_PER_MESSAGE = 7;
/** How many different values a device sends in turn. */
export const VARIANTS = 8;

/** One message of that firmware; `n` picks one of a few values. */
export function createPayload(device: string, n: number): string {
  const wave = Math.sin((n * Math.PI) / VARIANTS);
  return JSON.stringify({
    sensor_id: device,
    temperature: round(22 + wave),
    humidity: round(55 + 3 * wave),
    ph: round(6.1 + 0.1 * wave),
    ec: round(1.4 + 0.05 * wave),
    water_level: round(80 - wave),
    light_level: round(12_000 + 500 * wave),
    water_temp: round(20 + 0.5 * wave),
  });
}

const round = (x: number) => Math.round(x * 100) / 100;
