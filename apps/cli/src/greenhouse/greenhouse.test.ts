import { expect, test } from "@jest/globals";
import { mapGreenhouseHeader } from "./header.ts";
import { findStep } from "./step.ts";

const map = (...headers: string[]) =>
  mapGreenhouseHeader(["", ...headers], { prefix: "greenhouse", step: "5m" }).map((c) => [
    c.device,
    c.field,
    c.unit,
  ]);

test("a header becomes a device, a field and a unit that can be read", () => {
  expect(
    map(
      "Sensor PMC (21B) - Absolute diff. temp. and dewpoint temp. (°C) - averages",
      "PAR Sensor (13D) - PAR (μmol m−2 s−1) - averages",
      "Sensor 0013A20041A0002A NIEUW - co2 (ppm) - averages",
      "Weather solutions station Pantar Tuinderij - Wind direction () - averages",
    ),
  ).toEqual([
    ["greenhouse-sensor-pmc-21b", "absolute_diff_temp_and_dewpoint_temp_avg_5m", "°C"],
    ["greenhouse-par-sensor-13d", "par_avg_5m", "μmol m−2 s−1"],
    ["greenhouse-sensor-0013a20041a0002a-nieuw", "co2_avg_5m", "ppm"],
    ["greenhouse-weather-solutions-station-pantar-tuinderij", "wind_direction_avg_5m", ""],
  ]);
});

test("a sensor that repeats its unit is named without it", () => {
  expect(
    map(
      "vochtdeficit - g/m³  (afd 4) - Humidity deficit (g/m3) - averages",
      "verwarmingstemp: ber - °C  (afd 4) - Temperature (°C) - averages",
      "RV kas - %  (afd 4) - Humidity (%) - averages",
    ),
  ).toEqual([
    ["greenhouse-vochtdeficit-afd-4", "humidity_deficit_avg_5m", "g/m3"],
    ["greenhouse-verwarmingstemp-ber-afd-4", "temperature_avg_5m", "°C"],
    ["greenhouse-rv-kas-afd-4", "humidity_avg_5m", "%"],
  ]);
});

test("no two columns share a series, and over-long names stay legal and distinct", () => {
  const long = "x".repeat(80);
  const columns = mapGreenhouseHeader(
    [
      "",
      "A - T (C) - averages",
      "A - T (C) - averages",
      `${long}1 - T (C) - averages`,
      `${long}2 - T (C) - averages`,
    ],
    { prefix: "g" },
  );
  expect(new Set(columns.map((c) => `${c.device} ${c.field}`)).size).toBe(4);
  for (const column of columns) expect(column.device).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
});

test("the step is the commonest gap", () => {
  const minutes = [45, 47, 50, 55, 60, 70, 75].map((m) => m * 60e6);
  expect(findStep(minutes)).toBe("5m");
  expect(findStep([0, 3600e6, 7200e6])).toBe("1h");
  expect(findStep([0])).toBeUndefined();
});
