import { expect, test } from "@jest/globals";
import { continuousQuery, DAILY_AGGREGATE, fluxTask, HOURLY_AGGREGATE } from "./aggregates.ts";

test("the continuous queries of 1.x have every figure of every field, and names cannot leave their quotes", () => {
  expect(continuousQuery("hydroponics", HOURLY_AGGREGATE)).toBe(
    'CREATE CONTINUOUS QUERY "sluice_sensor_hourly" ON "hydroponics" RESAMPLE EVERY 10m FOR 4h BEGIN ' +
      "SELECT count(/.*/), mean(/.*/), min(/.*/), max(/.*/), stddev(/.*/) " +
      'INTO "hydroponics_hourly".."sensor_hourly" FROM "sensor_reading" GROUP BY time(1h), "sensor_id" END',
  );
  expect(continuousQuery('a"b', DAILY_AGGREGATE)).toContain('INTO "a\\"b_daily".."sensor_daily"');
});

// Golden text only: there is no InfluxDB 2 here to run it on.
test("TRAP 3, TRAP 4 (text only): the Flux task stamps windows with their start and has every figure of every number", () => {
  expect(fluxTask("hydroponics", HOURLY_AGGREGATE)).toBe(`import "date"
import "types"

option task = {name: "sluice_sensor_hourly", every: 1h, offset: 5m}

stop = date.truncate(t: now(), unit: 1h)

readings = from(bucket: "hydroponics")
  |> range(start: date.sub(d: 4h, from: stop), stop: stop)
  |> filter(fn: (r) => r._measurement == "sensor_reading" and types.isNumeric(v: r._value))
  |> group(columns: ["sensor_id", "_field"])

figure = (name, fn) => readings
  |> aggregateWindow(every: 1h, fn: fn, createEmpty: false, timeSrc: "_start")
  |> map(fn: (r) => ({
    _time: r._time,
    _measurement: "sensor_hourly",
    sensor_id: r.sensor_id,
    _field: name + "_" + r._field,
    _value: float(v: r._value),
  }))
  // the deviation of a single reading is not a number
  |> filter(fn: (r) => r._value == r._value)
  |> group(columns: ["_measurement", "sensor_id", "_field"])

union(
  tables: [
    figure(name: "count", fn: count),
    figure(name: "mean", fn: mean),
    figure(name: "min", fn: min),
    figure(name: "max", fn: max),
    figure(name: "stddev", fn: stddev),
  ],
)
  |> to(bucket: "hydroponics_hourly")
`);
});
