import { beforeAll, describe, expect, test } from "@jest/globals";
import { createPointWriter, identifier, influxQl, openInflux } from "@sluice/influx";
import { streamKey } from "@sluice/shared-types";
import { useInflux } from "@sluice/testkit";
import { openDeviceDirectory } from "../src/device-tags.ts";
import { openErasures } from "../src/erasures.ts";
import { createFirstValues } from "../src/first-values.ts";
import { createSeriesBudget } from "../src/series-budget.ts";
import { createTagHistory } from "../src/tag-history.ts";
import { createWriteBatch } from "../src/write-batch.ts";
import { message } from "./run-writer.ts";

// The queries of documents A and B, in InfluxQL, on what the writer stored. docs/influx.md has them beside the Flux.

const server = useInflux({ database: "telemetry" });
const MINUTE_US = 60_000_000;
const HOUR_US = 60 * MINUTE_US;
/** The start of the hour before the last one: windows are whole whenever the test runs. */
const HOUR0 = Math.floor((Date.now() * 1000) / HOUR_US) * HOUR_US - 2 * HOUR_US;
const NOW = Date.now() * 1000;

const open = () => {
  const { url, username, password } = server;
  return openInflux({ url, version: 1, bucket: "telemetry", username, password });
};

async function rows(query: string) {
  const influx = open();
  const found = await influx.query(query);
  await influx.close();
  return found;
}

const topic = (device: string, rest: string) => `iotflow/devices/${device}/${rest}`;
const temperature = (device: string, value: number, timeUs: number) =>
  message(device, { temperature: value, humidity: 50 }, timeUs, {
    topic: topic(device, "telemetry/temperature"),
  });
const status = (device: string, type: string, timeUs: number) =>
  message(device, { status: type }, timeUs, { kind: "status", type, topic: topic(device, `status/${type}`) });
const hydroponics = (sensor: string, fields: object, timeUs: number) =>
  message(sensor, { sensor_id: sensor, ...fields }, timeUs, {
    type: "sensor_reading",
    topic: "hydroponics/sensors/all",
  });

beforeAll(async () => {
  const influx = open();
  const directory = openDeviceDirectory(undefined, console);
  const { handle } = createWriteBatch({
    points: createPointWriter(influx, 5000),
    batchSize: 5000,
    directory,
    budget: createSeriesBudget(256),
    firstValues: createFirstValues(1000),
    influxVersion: 1,
    erasures: openErasures(influx, undefined, { warn() {} }),
    tagHistory: createTagHistory(),
    reject: async (rejected) => {
      throw new Error(`nothing is to be refused on ${streamKey("rejected")}: ${JSON.stringify(rejected)}`);
    },
  });
  const messages = [
    temperature("esp32_001", 20, NOW - 30 * MINUTE_US),
    temperature("esp32_001", 21, NOW - 20 * MINUTE_US),
    temperature("esp32_002", 25, NOW - 10 * MINUTE_US),
    temperature("esp32_001", 99, NOW - 5 * HOUR_US),
    status("esp32_001", "online", NOW - 4 * MINUTE_US),
    status("esp32_001", "heartbeat", NOW - 1 * MINUTE_US),
    status("esp32_002", "offline", NOW - 2 * MINUTE_US),
    ...[0, 1, 2, 3].map((i) =>
      hydroponics("arduino_1", { temperature: 20 + i, ph: 6, light_level: 300 }, HOUR0 + i * 15 * MINUTE_US),
    ),
    hydroponics("arduino_1", { temperature: 30, pump: true }, HOUR0 + HOUR_US),
    hydroponics("arduino_2", { temperature: 10 }, HOUR0 + MINUTE_US),
  ];
  const outcomes = await handle([{ id: "1-0", ordinal: 0, attempts: 1, messages }]);
  expect(outcomes).toEqual([{ id: "1-0", stored: messages.length, duplicate: 0, quarantined: 0 }]);
  await influx.close();
});

describe("document B", () => {
  test("temperature over time: the field named value of measurement temperature, last hour", async () => {
    const found = await rows("SELECT value FROM temperature WHERE time > now() - 1h");
    expect(found[0]?.rows.map((row) => [row.time, row.value])).toEqual([
      [NOW - 30 * MINUTE_US, 20],
      [NOW - 20 * MINUTE_US, 21],
      [NOW - 10 * MINUTE_US, 25],
    ]);
  });

  test("device status overview: what each device last said, last five minutes", async () => {
    const found = await rows(
      "SELECT last(status) AS status FROM status WHERE time > now() - 5m GROUP BY device_id",
    );
    expect(found.map(({ tags, rows }) => [tags.device_id, rows[0]?.status])).toEqual([
      ["esp32_001", "heartbeat"],
      ["esp32_002", "offline"],
    ]);
  });

  test("multi-device comparison: one series for each device", async () => {
    const found = await rows("SELECT value FROM temperature WHERE time > now() - 1h GROUP BY device_id");
    expect(found.map(({ tags, rows }) => [tags.device_id, rows.map((row) => row.value)])).toEqual([
      ["esp32_001", [20, 21]],
      ["esp32_002", [25]],
    ]);
  });

  test("device data and latest, as its endpoints ask for them", async () => {
    const device = "esp32_001";
    const range = influxQl`time >= ${BigInt(NOW - HOUR_US) * 1000n} AND time < ${BigInt(NOW) * 1000n}`;
    const data = await rows(
      `${influxQl`SELECT value, humidity FROM ${identifier("temperature")} WHERE device_id = ${device}`} AND ${range}`,
    );
    expect(data[0]?.rows.length).toBe(2);
    const latest = await rows(influxQl`SELECT last(value) FROM temperature WHERE device_id = ${device}`);
    expect(latest[0]?.rows).toEqual([{ time: NOW - 20 * MINUTE_US, last: 21 }]);
  });

  test("aggregated: every function the document lists, in windows", async () => {
    const [series] = await rows(
      influxQl`SELECT mean(value), sum(value), count(value), min(value), max(value), first(value), last(value), median(value)
        FROM temperature WHERE device_id = ${"esp32_001"} AND time > now() - 1h`,
    );
    expect(series?.rows[0]).toMatchObject({
      mean: 20.5,
      sum: 41,
      count: 2,
      min: 20,
      max: 21,
      first: 20,
      last: 21,
      median: 20.5,
    });
  });
});

describe("document A", () => {
  const range = influxQl`time >= ${BigInt(HOUR0) * 1000n} AND time < ${BigInt(HOUR0 + 2 * HOUR_US) * 1000n}`;

  test("hourly aggregates per sensor, stamped with the hour's start", async () => {
    const found = await rows(
      `SELECT mean(temperature), min(temperature), max(temperature), count(temperature), stddev(temperature)
       FROM sensor_reading WHERE ${range} GROUP BY time(1h), sensor_id fill(none)`,
    );
    expect(found.map(({ tags, rows }) => [tags.sensor_id, rows])).toEqual([
      [
        "arduino_1",
        [
          { time: HOUR0, mean: 21.5, min: 20, max: 23, count: 4, stddev: expect.closeTo(1.29099, 4) },
          { time: HOUR0 + HOUR_US, mean: 30, min: 30, max: 30, count: 1, stddev: null },
        ],
      ],
      ["arduino_2", [{ time: HOUR0, mean: 10, min: 10, max: 10, count: 1, stddev: null }]],
    ]);
  });

  test("every field of a sensor at once, also those the document's mapping forgot", async () => {
    const [series] = await rows(
      `SELECT mean(*) FROM sensor_reading WHERE sensor_id = 'arduino_1' AND source = 'http_api' AND ${range} GROUP BY time(1h) fill(none)`,
    );
    expect(series?.rows[0]).toMatchObject({ mean_temperature: 21.5, mean_ph: 6, mean_light_level: 300 });
    expect(series?.rows[1]).toMatchObject({ mean_pump: 1 });
  });

  test("daily aggregates count readings, not hours", async () => {
    const found = await rows(
      `SELECT count(temperature) FROM sensor_reading WHERE sensor_id = 'arduino_1' AND ${range} GROUP BY time(1d) fill(none)`,
    );
    expect(found.flatMap(({ rows }) => rows).reduce((sum, row) => sum + Number(row.count), 0)).toBe(5);
  });

  test("the latest reading of a sensor, whole", async () => {
    const [series] = await rows(
      "SELECT * FROM sensor_reading WHERE sensor_id = 'arduino_1' ORDER BY time DESC LIMIT 1",
    );
    expect(series?.rows[0]).toMatchObject({ temperature: 30, pump: 1, source: "http_api" });
  });
});
