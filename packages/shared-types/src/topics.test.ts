import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { InvalidInputError } from "./errors.ts";
import { createTopics, type IncomingTopic, parseTopic, type TopicMap } from "./topics.ts";

const maps: TopicMap[] = [
  { pattern: "hydroponics/sensors/all", device: "arduino_1" },
  { pattern: "hydroponics/sensors/{type}", device: "arduino_1" },
];
const reason = (topic: string) => {
  try {
    return parseTopic(topic, "iotflow", maps);
  } catch (error) {
    if (error instanceof InvalidInputError) return error.code;
    throw error;
  }
};

describe("topics", () => {
  test.each<[string, IncomingTopic]>([
    ["iotflow/devices/a/telemetry", { kind: "telemetry", device: "a", type: "telemetry" }],
    [
      "iotflow/devices/esp32_001/telemetry/temperature",
      { kind: "telemetry", device: "esp32_001", type: "temperature" },
    ],
    ["iotflow/devices/a/status/heartbeat", { kind: "status", device: "a", type: "heartbeat" }],
    ["iotflow/lwt/devices/a", { kind: "lwt", device: "a" }],
    ["iotflow/devices/a/commands/control/result", { kind: "result", device: "a", type: "control" }],
    ["iotflow/discovery/register/a", { kind: "register", device: "a" }],
    ["iotflow/fleet/status/g1", { kind: "fleet-status", group: "g1" }],
    ["hydroponics/sensors/all", { kind: "telemetry", device: "arduino_1", type: "telemetry" }],
    ["hydroponics/sensors/ph", { kind: "telemetry", device: "arduino_1", type: "ph" }],
  ])("%s", (topic, expected) => expect(parseTopic(topic, "iotflow", maps)).toEqual(expected));

  test.each([
    "",
    "/",
    "//",
    "iotflow",
    "iotflow/devices/a",
    "iotflow/devices/a/telemetry/",
    "iotflow/devices/+/telemetry",
    "iotflow/devices/#",
    "iotflow/devices/a/telemetry/a/b",
    "iotflow/devices/a/commands/control",
    "iotflow/system/health",
    "$SYS/x",
    "other/devices/a/telemetry",
    "IOTFLOW/devices/a/telemetry",
    "iotflow/devices/a/telemetry/_x",
    "iotflow/devices/a/telemetry/\u0000",
    "iotflow/devices/a/telemetry/\ufeff",
    "iotflow/devices/a/telemetry/\ufffd",
    "a/".repeat(5000),
  ])("%p is no topic of ours", (topic) => expect(reason(topic)).toBe("bad_topic"));

  test.each(["", "а", "e\u0301", "..", "a b", "%2F", "a\\b", "x".repeat(65)])(
    "device id %p is refused",
    (id) => {
      expect(reason(`iotflow/devices/${id}/telemetry`)).toBe("bad_device_id");
    },
  );

  test.each(["constructor", "__proto__", "toString", "null", "0", "-1", "1e3"])(
    "device id %p is plain text",
    (id) => {
      expect(reason(`iotflow/devices/${id}/telemetry`)).toEqual({
        kind: "telemetry",
        device: id,
        type: "telemetry",
      });
    },
  );

  test("whatever a device may build is read back", () => {
    const topics = createTopics("a/b");
    fc.assert(
      fc.property(
        fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
        fc.stringMatching(/^[A-Za-z0-9.-]{1,64}$/),
        (device, type) => {
          expect(parseTopic(topics.telemetry(device, type), "a/b")).toEqual({
            kind: "telemetry",
            device,
            type,
          });
          expect(parseTopic(topics.status(device, type), "a/b")).toEqual({ kind: "status", device, type });
          expect(parseTopic(topics.lwt(device), "a/b")).toEqual({ kind: "lwt", device });
        },
      ),
    );
  });

  test("any text is a topic or a named refusal", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void reason(`iotflow/devices/${text}`)));
  });
});
