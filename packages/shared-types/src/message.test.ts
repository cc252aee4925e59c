import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { decodeMessage, type Envelope, encodeMessage, payloadOf } from "./message.ts";

const envelope: Envelope = {
  device: "esp32_001",
  kind: "telemetry",
  type: "environmental",
  source: "mqtt",
  receivedUs: 1_790_000_000_000_123,
  timesUs: [1_790_000_000_000_000],
  clock: "device",
};

describe("message codec", () => {
  test("gives back envelope and readings", () => {
    const full: Envelope = {
      ...envelope,
      topic: "iotflow/devices/esp32_001/telemetry",
      boot: "b1",
      seq: 7,
      tags: { location: "x" },
      packet: ["client", 5],
      correction: true,
      notify: "gw:1",
      kind: "status",
    };
    const { timesUs: _t, clock: _c, ...rest } = full;
    expect(decodeMessage(encodeMessage(full, '{"temperature":1.5,"ok":true}'))).toEqual({
      ...rest,
      samples: [
        {
          timeUs: 1_790_000_000_000_000,
          clock: "device",
          readings: [
            { field: "temperature", value: 1.5 },
            { field: "ok", value: true },
          ],
        },
      ],
    });
  });

  test("leaves out samples that were refused at the door, matching times by original index", () => {
    const text = encodeMessage(
      { ...envelope, timesUs: [1, null, 3], clock: ["device", "none", "age"] },
      '[{"t":1},5,{"t":3}]',
    );
    expect(decodeMessage(text).samples.map((s) => [s.timeUs, s.clock])).toEqual([
      [1, "device"],
      [3, "age"],
    ]);
  });

  test("keeps the payload's bytes, whatever is in envelope or payload", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.jsonValue(),
        fc.constantFrom("", " ", "\n", "\t "),
        (text, json, space) => {
          const payload = space + JSON.stringify(json) + space;
          const tags = { 'a","p":1': `${text}","p":{` };
          expect(payloadOf(encodeMessage({ ...envelope, topic: text, tags }, payload))).toBe(payload);
        },
      ),
    );
  });

  test.each(["", "{", "null", "5", "[]", '{"d":1}'])("refuses %p", (text) => {
    expect(() => decodeMessage(text)).toThrow(expect.objectContaining({ code: "undecodable" }));
  });
});
