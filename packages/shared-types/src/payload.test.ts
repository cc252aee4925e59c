import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { InvalidInputError, type Reason } from "./errors.ts";
import { PAYLOAD_LIMITS, parsePayload } from "./payload.ts";

const fields = (json: unknown, type = "telemetry") =>
  Object.fromEntries(parsePayload(json, type).samples[0]?.readings.map((r) => [r.field, r.value]) ?? []);
const reasonOf = (json: unknown): Reason | undefined => {
  try {
    parsePayload(json, "telemetry");
    return undefined;
  } catch (error) {
    if (error instanceof InvalidInputError) return error.code;
    throw error;
  }
};

describe("payload variants", () => {
  test("flat, with the api key and device id kept apart from the readings", () => {
    const payload = parsePayload(
      { api_key: "k", sensor_id: "arduino_1", temperature: 22.5, light_level: 12_000 },
      "telemetry",
    );
    expect(payload).toMatchObject({ apiKey: "k", device: "arduino_1" });
    expect(payload.samples[0]?.readings).toEqual([
      { field: "temperature", value: 22.5 },
      { field: "light_level", value: 12_000 },
    ]);
  });

  test("{data, metadata}: metadata becomes tags", () => {
    const payload = parsePayload(
      {
        data: { temperature: 24.5, on: true },
        type: "environmental",
        metadata: { location: "room_1" },
        timestamp: 1,
      },
      "telemetry",
    );
    expect(payload).toMatchObject({
      tags: { location: "room_1" },
      type: "environmental",
      samples: [{ time: 1 }],
    });
    expect(fields({ data: { temperature: 24.5, on: true } })).toEqual({ temperature: 24.5, on: true });
  });

  test("{measurements, status}: status is kept under its own prefix", () => {
    expect(
      fields({ device_type: "sensor", measurements: { temperature: 1 }, status: { battery_level: 80 } }),
    ).toEqual({
      temperature: 1,
      "status.battery_level": 80,
    });
  });

  test("nested objects are flattened with dots", () => {
    expect(fields({ accelerometer: { x: 1, y: 2, z: { raw: 3 } } })).toEqual({
      "accelerometer.x": 1,
      "accelerometer.y": 2,
      "accelerometer.z.raw": 3,
    });
  });

  test("nulls with an error field stay as readings without a value", () => {
    expect(fields({ temperature: null, sensor_error: "DHT_READ_FAILED", led_state: 0 })).toEqual({
      temperature: null,
      sensor_error: "DHT_READ_FAILED",
      led_state: 0,
    });
  });

  test("`value` is named after the message type", () => {
    expect(parsePayload({ value: 23.5 }, "temperature").samples[0]?.readings).toEqual([
      { field: "temperature", value: 23.5, sentAs: "value" },
    ]);
    expect(fields({ value: 23.5 })).toEqual({ value: 23.5 });
  });

  test("an array of samples keeps each one's time and names the bad ones by index", () => {
    const payload = parsePayload([{ ts: 1, t: 1 }, 5, { ts: 3, t: [1] }, { age_ms: 4, t: 4 }], "telemetry");
    expect(payload.samples).toEqual([
      { time: 1, readings: [{ field: "t", value: 1 }] },
      { ageMs: 4, readings: [{ field: "t", value: 4 }] },
    ]);
    expect(payload.indexes).toEqual([0, 3]);
    expect(payload.refused.map(({ index, code }) => [index, code])).toEqual([
      [1, "not_object"],
      [2, "bad_value"],
    ]);
  });

  test("samples under `data` share the header's boot, seq and time", () => {
    const payload = parsePayload({ boot: 7, seq: 3, ts: 9, data: [{ t: 1 }, { t: 2, ts: 10 }] }, "telemetry");
    expect(payload).toMatchObject({ boot: "7", seq: 3, samples: [{ time: 9 }, { time: 10 }] });
  });
});

describe("refusals", () => {
  const deep = (levels: number): unknown => (levels === 0 ? 1 : { a: deep(levels - 1) });
  test.each<[string, unknown, Reason]>([
    ["null", null, "not_object"],
    ["a number", 42, "not_object"],
    ["an empty object", {}, "no_readings"],
    ["an empty array", [], "no_readings"],
    ["only header fields", { device_id: "a", ts: 1 }, "no_readings"],
    ["infinity", { t: Number.POSITIVE_INFINITY }, "not_finite"],
    ["the text NaN", { t: "NaN" }, "not_finite"],
    ["the text -inf", { t: " -inf " }, "not_finite"],
    ["an array as value", { t: [5] }, "bad_value"],
    ["NUL in text", { t: "a\u0000" }, "bad_value"],
    ["half a surrogate pair", { t: "\ud800" }, "bad_value"],
    ["long text", { t: "x".repeat(PAYLOAD_LIMITS.text + 1) }, "value_too_long"],
    ["an empty name", { "": 1 }, "bad_field_name"],
    ["__proto__", JSON.parse('{"__proto__":{"admin":true}}'), "bad_field_name"],
    ["constructor", { constructor: { prototype: { x: 1 } } }, "bad_field_name"],
    ["a newline in a name", { "a\nb": 1 }, "bad_field_name"],
    ["a fractional seq", { t: 1, seq: 1.5 }, "bad_sequence"],
    ["a negative seq", { t: 1, seq: -1 }, "bad_sequence"],
    ["deep nesting", deep(20), "too_deep"],
    [
      "too many fields",
      Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`f${i}`, i])),
      "too_many_fields",
    ],
    ["too many samples", Array.from({ length: 1001 }, () => ({ t: 1 })), "too_many_samples"],
  ])("%s", (_name, json, reason) => {
    expect(reasonOf(json)).toBe(reason);
  });

  test("any JSON whatever gives readings or a reason, never another error", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 12 }), (json) => {
        const before = JSON.stringify(Object.prototype);
        const reason = reasonOf(json);
        if (reason === undefined) expect(parsePayload(json, "telemetry").samples.length).toBeGreaterThan(0);
        expect(JSON.stringify(Object.prototype)).toBe(before);
      }),
      { numRuns: 2000 },
    );
  });
});
