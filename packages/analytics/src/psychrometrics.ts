/** Saturation vapour pressure in kPa at a temperature in °C (Tetens, as the hydroponics system's `core.calculate_vpd`). */
export function saturationPressureKpa(temperatureC: number): number {
  return 0.6108 * Math.exp((17.27 * temperatureC) / (temperatureC + 237.3));
}

/** Vapour pressure deficit in kPa of air at a temperature in °C and relative humidity in %. */
export function vpdKpa(temperatureC: number, humidityPct: number): number {
  const saturation = saturationPressureKpa(temperatureC);
  return saturation - (saturation * humidityPct) / 100;
}

/** Band of a vapour pressure deficit in kPa; limits 0.4, 0.8, 1.2, 1.6. */
export function vpdBand(kpa: number): "too_low" | "low" | "optimal" | "high" | "too_high" {
  if (kpa < 0.4) return "too_low";
  if (kpa < 0.8) return "low";
  if (kpa <= 1.2) return "optimal";
  return kpa <= 1.6 ? "high" : "too_high";
}

/** Standard pressure in hPa, for where no barometer was read. */
export const STANDARD_PRESSURE_HPA = 1013.25;

/** Saturation vapour pressure in hPa at °C (Bolton, as the controlled-environment system has it). */
const boltonHpa = (temperatureC: number) => 6.112 * Math.exp((17.67 * temperatureC) / (temperatureC + 243.5));

/**
 * Relative humidity in % (0 to 100) and vapour pressure deficit in kPa (not below 0) from a dry and a wet bulb in °C,
 * by the psychrometer equation with 0.000662 per °C; both to three decimals.
 */
export function fromWetBulb(
  dryC: number,
  wetC: number,
  pressureHpa = STANDARD_PRESSURE_HPA,
): { humidityPct: number; vpdKpa: number } {
  const saturation = boltonHpa(dryC);
  const actual = boltonHpa(wetC) - 0.000662 * pressureHpa * (dryC - wetC);
  return {
    humidityPct: round3(Math.min(100, Math.max(0, (100 * actual) / saturation))),
    vpdKpa: round3(Math.max(0, (saturation - actual) / 10)),
  };
}

const round3 = (value: number) => Math.round(value * 1000) / 1000;

/** Daily light integral in mol/m² from lux and the seconds each held: 1 lux is taken as 0.0185 µmol/(m² s). */
export function dailyLightIntegral(luxSeconds: number): number {
  return (luxSeconds * 0.0185) / 1e6;
}
