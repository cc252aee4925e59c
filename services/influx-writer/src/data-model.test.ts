import { describe, expect, test } from "@jest/globals";
import { decodeMessage, type Envelope, encodeMessage } from "@sluice/shared-types";
import { type DeviceTags, toPoints } from "./data-model.ts";

const T = 1_767_225_600_000_000;

function pointsOf(payload: object, envelope: Partial<Envelope> = {}, registry: Partial<DeviceTags> = {}) {
  const text = encodeMessage(
    {
      device: "d1",
      kind: "telemetry",
      type: "temperature",
      source: "mqtt",
      receivedUs: T,
      timesUs: [T],
      clock: "device",
      topic: "iotflow/devices/d1/telemetry/temperature",
      ...envelope,
    },
    JSON.stringify(payload),
  );
  return toPoints(decodeMessage(text), { device_type: "esp32", ...registry });
}

describe("document B's model", () => {
  test("has the document's tags, fields as sent, and the measurement's own field also as value", () => {
    const registry = { device_name: "Office", device_type: "environmental", location: "office" };
    expect(pointsOf({ temperature: 23.5, humidity: 45, ok: true, note: "x" }, {}, registry)).toEqual([
      {
        measurement: "temperature",
        tags: { device_id: "d1", topic: "iotflow/devices/d1/telemetry/temperature", ...registry },
        fields: { temperature: 23.5, humidity: 45, ok: true, note: "x", value: 23.5 },
        timeUs: T,
      },
    ]);
  });

  test("keeps a field that was sent as value under that name, beside one named like the measurement", () => {
    expect(pointsOf({ value: 1 })[0]?.fields).toEqual({ value: 1 });
    expect(pointsOf({ value: 1, temperature: 2 })[0]?.fields).toEqual({ value: 1, temperature: 2 });
  });

  test("takes a message's own tags before the registry's", () => {
    const tags = { device_type: "sensor", location: "roof", firmware: "1.2" };
    expect(pointsOf({ t: 1 }, { tags }, { location: "office", device_name: "n" })[0]?.tags).toEqual({
      device_id: "d1",
      device_name: "n",
      topic: "iotflow/devices/d1/telemetry/temperature",
      ...tags,
    });
  });

  test("never has a tag and a field of one name", () => {
    const [point] = pointsOf(
      { data: { rssi: -60, location: "x", t: 1 } },
      { tags: { rssi: "weak", location: "roof" } },
    );
    expect(point?.tags).toMatchObject({ meta_rssi: "weak", location: "roof" });
    expect(point?.tags).not.toHaveProperty("rssi");
    expect(point?.fields).toEqual({ rssi: -60, location_field: "x", t: 1 });
  });

  test("has one point per sample at its own time, and none for nulls", () => {
    const points = pointsOf([{ t: 1 }, { t: null, error: "DHT_READ_FAILED" }, { t: null }], {
      timesUs: [T, T + 1, T + 2],
    });
    expect(points.map(({ fields, timeUs }) => [fields, timeUs])).toEqual([
      [{ t: 1 }, T],
      [{ error: "DHT_READ_FAILED" }, T + 1],
    ]);
  });

  test.each([
    ["heartbeat", { status: "alive", uptime: 5 }, { status: "alive", value: "alive", uptime: 5 }],
    ["offline", { status: "offline" }, { status: "offline", value: "offline" }],
    ["connectivity", { connected: true }, { connected: true, status: "connectivity", value: "connectivity" }],
    ["online", { status: 1 }, { status: "1", value: "1" }],
  ])("puts status/%s into measurement status, readable as text", (type, payload, fields) => {
    const [point] = pointsOf(payload, { kind: "status", type, topic: `iotflow/devices/d1/status/${type}` });
    expect(point).toMatchObject({ measurement: "status", fields });
  });

  test("puts the result of a command into a measurement of its own", () => {
    const [point] = pointsOf({ ok: true }, { kind: "result", type: "reboot" });
    expect(point).toMatchObject({
      measurement: "command_result",
      tags: { command: "reboot" },
      fields: { ok: true },
    });
  });

  test("survives types and fields named like properties every object has", () => {
    const [point] = pointsOf({ valueOf: 1, toString: 2 }, { type: "toString" });
    expect(Object.entries(point?.fields ?? {})).toEqual([
      ["valueOf", 1],
      ["toString", 2],
      ["value", 2],
    ]);
    expect(pointsOf({ t: 1 }, { type: "hasOwnProperty" })[0]?.fields).toEqual({ t: 1 });
  });
});

describe("document A's model", () => {
  const reading = { temperature: 22, humidity: 60, ph: 6.1, ec: 1.4, water_level: 80, light_level: 300 };

  test("has sensor_id and source for tags, numbers, 0 and 1 for booleans, strings as they are", () => {
    const points = pointsOf(
      { sensor_id: "d1", ...reading, pump: true, mode: "auto" },
      {
        type: "sensor_reading",
        topic: "hydroponics/sensors/all",
      },
    );
    expect(points).toEqual([
      {
        measurement: "sensor_reading",
        tags: { sensor_id: "d1", source: "http_api" },
        fields: { ...reading, pump: 1, mode: "auto" },
        timeUs: T,
      },
    ]);
  });

  test("comes beside document B's for the single topics of the bridge", () => {
    const points = pointsOf({ value: 25.5 }, { topic: "hydroponics/sensors/temperature" });
    expect(points.map(({ measurement, fields }) => [measurement, fields])).toEqual([
      ["temperature", { value: 25.5 }],
      ["sensor_reading", { temperature: 25.5 }],
    ]);
  });

  test("is for hydroponics devices only, however they are known to be one, and never for status", () => {
    expect(pointsOf(reading, {}, { device_type: "Hydroponics" }).map((p) => p.measurement)).toEqual([
      "temperature",
      "sensor_reading",
    ]);
    expect(pointsOf(reading, { tags: { device_type: "hydroponics" } }).length).toBe(2);
    expect(pointsOf(reading).length).toBe(1);
    const status = pointsOf(
      { status: "online" },
      { kind: "status", type: "online" },
      { device_type: "hydroponics" },
    );
    expect(status.map(({ measurement }) => measurement)).toEqual(["status"]);
  });
});
