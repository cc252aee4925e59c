import { describe, expect, test } from "@jest/globals";
import { decodeMessage, encodeMessage, REASONS } from "@sluice/shared-types";
import fc from "fast-check";
import { type NormaliseContext, normalise } from "./normalise.ts";
import { createTopicReader, DEFAULT_TOPIC_MAPS, parseTopicMaps } from "./topic-reader.ts";

const readTopic = createTopicReader("iotflow", DEFAULT_TOPIC_MAPS);
const context: NormaliseContext = {
  readTopic,
  maxPayloadBytes: 4096,
  speaker: { username: "u", devices: ["d1", "d2"], owns: (device) => device === "d1" || device === "d2" },
  checkApiKey: (key) => key === "right",
};
const T = "iotflow/devices/d1/telemetry";
const read = (topic: string, payload: string | Buffer) =>
  normalise(topic, Buffer.from(payload as string), context);
const reasonOf = (topic: string, payload: string | Buffer) => read(topic, payload).refusals[0]?.reason;

describe("normalise", () => {
  test("whatever comes in, it gives a message or a refusal with a stable reason, and never throws", () => {
    const topics = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom(T, `${T}/x`, "iotflow/lwt/devices/d1", "hydroponics/sensors/all"),
    );
    const payloads = fc.oneof(
      fc.uint8Array({ maxLength: 5000 }).map((bytes) => Buffer.from(bytes)),
      fc.json({ maxDepth: 12 }).map((text) => Buffer.from(text)),
      fc.string({ unit: "binary" }).map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(topics, payloads, (topic, payload) => {
        const { message, refusals } = normalise(topic, payload, context);
        expect(message !== undefined || refusals.length > 0).toBe(true);
        for (const { reason } of refusals) expect(REASONS).toContain(reason);
      }),
      { numRuns: 2000 },
    );
  });

  test("what it accepts, consumers decode to the same samples", () => {
    const value = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.boolean(),
      fc.string({ maxLength: 20 }),
      fc.constant(null),
    );
    const flat = fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), value, { minKeys: 1, maxKeys: 9 });
    fc.assert(
      fc.property(fc.oneof(flat, fc.array(flat, { minLength: 1, maxLength: 5 })), (json) => {
        const { message } = read(T, JSON.stringify(json));
        if (!message) return;
        const timesUs = Array.from(message.claims, (claim) => (claim ? 1 : null));
        const envelope = {
          ...message,
          source: "mqtt" as const,
          receivedUs: 1,
          timesUs,
          clock: "none" as const,
        };
        const decoded = decodeMessage(encodeMessage(envelope, message.payload));
        expect(decoded.samples).toHaveLength(timesUs.filter((t) => t !== null).length);
        expect(decoded.device).toBe("d1");
      }),
      { numRuns: 1000 },
    );
  });

  test("an api_key never leaves it, wherever it stands", () => {
    const keyed = fc.constantFrom(
      '{"api_key":"right","x":1}',
      '{"data":{"x":1},"api_key":"right"}',
      '[{"api_key":"right","x":1}]',
      '{"data":{"api_key":"right","x":1}}',
      '{"status":"alive","x":{"api_key":"right","y":1}}',
      '{"metadata":{"api_key":"right"},"x":1}',
      '{"api\\u005fkey":"right","x":1}',
    );
    fc.assert(
      fc.property(keyed, (text) => {
        const { message } = read(T, text);
        expect(message?.payload).not.toContain("right");
        expect(JSON.stringify(message?.tags ?? {})).not.toContain("right");
      }),
    );
    expect(reasonOf(T, '{"api_key":"wrong","x":1}')).toBe("bad_api_key");
    expect(reasonOf(T, '{"api_key":7,"x":1}')).toBe("bad_api_key");
  });

  test("deep nesting is refused, not a crash", () => {
    expect(reasonOf(T, `{"x":${"[".repeat(2000)}${"]".repeat(2000)}}`)).toBe("bad_value");
    expect(reasonOf(T, `${'{"x":'.repeat(600)}1${"}".repeat(600)}`)).toBe("too_deep");
    const deep = `{"x":1,"api_key":"right","metadata":${'{"m":'.repeat(500)}1${"}".repeat(500)}}`;
    expect(read(T, deep).message?.device).toBe("d1");
  });

  test("last wills and status topics take plain text and JSON", () => {
    expect(read("iotflow/lwt/devices/d1", "offline").message).toMatchObject({
      kind: "status",
      type: "offline",
      status: "offline",
      payload: '{"status":"offline"}',
    });
    expect(read("iotflow/devices/d1/status/online", '{"api_key":"right"}').message).toMatchObject({
      status: "online",
      payload: '{"status":"online"}',
    });
    expect(read("iotflow/devices/d1/status/connectivity", '{"connected":false}').message?.status).toBe(
      "offline",
    );
    expect(reasonOf("iotflow/devices/d1/status/online", "{broken")).toBe("not_json");
    expect(read("iotflow/devices/d1/status/online", "api_key").message?.payload).toBe('{"status":"api_key"}');
  });

  test("on a topic map the payload's own id wins and must be owned", () => {
    expect(read("hydroponics/sensors/all", '{"sensor_id":"d2","ph":6.1}').message).toMatchObject({
      device: "d2",
      type: "sensor_reading",
    });
    expect(reasonOf("hydroponics/sensors/all", '{"sensor_id":"d3","ph":6.1}')).toBe("not_authorised");
    expect(reasonOf("hydroponics/sensors/all", '{"ph":6.1}')).toBe("bad_device_id");
    const one = { ...context, speaker: { username: "u", devices: ["d1"], owns: (d: string) => d === "d1" } };
    expect(normalise("hydroponics/sensors/ph", Buffer.from('{"value":6.1}'), one).message).toMatchObject({
      device: "d1",
      type: "ph",
    });
  });

  test("a sample that names another device is refused alone", () => {
    const result = read(T, '[{"x":1},{"device_id":"d2","x":2},{"device_id":"d1","x":3}]');
    expect(result.refusals).toEqual([{ reason: "device_mismatch", detail: expect.any(String), index: 1 }]);
    expect(result.message?.claims[1]).toBeUndefined();
    expect(result.message?.claims[2]).toEqual({});
  });

  test("topic maps are read from text, and nonsense is named", () => {
    expect(parseTopicMaps("a/{type}=d1, b/c=d2:temp,x/{device}/y")).toEqual([
      { pattern: "a/{type}", device: "d1" },
      { pattern: "b/c", device: "d2", type: "temp" },
      { pattern: "x/{device}/y" },
    ]);
    expect(parseTopicMaps("none")).toEqual([]);
    for (const text of ["a/#", "a/{other}", "a b"])
      expect(() => parseTopicMaps(text)).toThrow(/SLUICE_TOPIC_MAPS/);
  });
});
