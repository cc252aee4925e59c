import { Point as ClientPoint } from "@influxdata/influxdb-client";
import { describe, expect, test } from "@jest/globals";
import { InvalidInputError } from "@sluice/shared-types";
import fc from "fast-check";
import { encodePoint, type FieldValue, type Point } from "./line-protocol.ts";

const point = (rest: Partial<Point>): Point => ({
  measurement: "m",
  tags: {},
  fields: { v: 1 },
  timeUs: 1_700_000_000_000_001,
  ...rest,
});

/** Text full of what line protocol finds special. */
const text = (max = 12) =>
  fc.string({
    unit: fc.oneof(
      fc.constantFrom(" ", ",", "=", '"', "\\", "\n", "\r", "\t", "'", "#", "_", "é", "温", "😀"),
      fc.string({ minLength: 1, maxLength: 1 }),
    ),
    minLength: 1,
    maxLength: max,
  });
const name = text().filter((t) => !t.endsWith("\\") && t !== "__proto__");
const value = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.boolean(),
  text(40),
  fc.integer(),
);

describe("encodePoint", () => {
  test("gives what the official client gives, wherever that client's line means what it should", () => {
    fc.assert(
      fc.property(
        name.filter((t) => !t.startsWith("#")),
        fc.dictionary(
          name.filter((t) => !["time", "_field", "_measurement"].includes(t)),
          fc.oneof(fc.constant(""), name),
        ),
        fc.dictionary(
          name.filter((t) => t !== "time" && !/^\d+$/.test(t)), // a record puts keys like "1" first
          value,
          { minKeys: 1 },
        ),
        (measurement, tags, fields) => {
          const client = new ClientPoint(measurement).timestamp("1700000000000001");
          for (const [key, tag] of Object.entries(tags)) client.tag(key, tag);
          const sorted: Record<string, FieldValue> = {};
          for (const key of Object.keys(fields).sort()) {
            const field = fields[key] ?? 0;
            sorted[key] = field;
            if (typeof field === "number") client.floatField(key, field);
            else if (typeof field === "boolean") client.booleanField(key, field);
            else client.stringField(key, field);
          }
          expect(encodePoint(point({ measurement, tags, fields: sorted }))).toBe(client.toLineProtocol());
        },
      ),
      { numRuns: 500 },
    );
  });

  test.each<[string, Partial<Point>, string]>([
    ["a tag that ends in a backslash gets an underscore", { tags: { a: "C:\\" } }, "m,a=C:\\_ v=1"],
    [
      "so does a name that does",
      { measurement: "m\\", tags: { "a\\": "b" }, fields: { "v\\": 1 } },
      "m\\_,a\\_=b v\\_=1",
    ],
    ["a measurement that starts with # is no comment", { measurement: "#1" }, "_#1 v=1"],
    ["a measurement may start with _", { measurement: "_m" }, "_m v=1"],
    ["an empty tag is left out", { tags: { a: "", b: "x" } }, "m,b=x v=1"],
    ["a field called time is renamed", { fields: { time: 5 } }, "m time_=5"],
    [
      "tags that Flux has as columns are renamed",
      { tags: { _field: "x", time: "y" } },
      "m,_field_=x,time_=y v=1",
    ],
    [
      "a newline in a tag cannot start a second line",
      { tags: { a: "a\nevil,x=1 v=2 9999" } },
      "m,a=a\\nevil\\,x\\=1\\ v\\=2\\ 9999 v=1",
    ],
    ["whole numbers are floats, however large", { fields: { v: 2 ** 64 } }, "m v=18446744073709552000"],
    ["minus zero is zero", { fields: { v: -0 } }, "m v=0"],
    ["quotes and backslashes stay in their string", { fields: { v: '"\\' } }, 'm v="\\"\\\\"'],
    ["booleans are booleans", { fields: { v: true, w: false } }, "m v=T,w=F"],
    ["tags are in order of their keys", { tags: { z: "1", a: "2" } }, "m,a=2,z=1 v=1"],
  ])("%s", (_, rest, expected) => {
    expect(encodePoint(point(rest))).toBe(`${expected} 1700000000000001`);
  });

  test.each<[string, Partial<Point>, string]>([
    ["no field", { fields: {} }, "no_readings"],
    ["no measurement", { measurement: "" }, "bad_field_name"],
    ["a field without a name", { fields: { "": 1 } }, "bad_field_name"],
    ["not a number", { fields: { v: Number.NaN } }, "not_finite"],
    ["infinity", { fields: { v: Number.POSITIVE_INFINITY } }, "not_finite"],
    ["a time that is no whole number", { timeUs: 1.5 }, "bad_value"],
    ["no time", { timeUs: Number.NaN }, "bad_value"],
  ])("%s is refused", (_, rest, code) => {
    expect(() => encodePoint(point(rest))).toThrow(
      expect.objectContaining({ name: "InvalidInputError", code }),
    );
    expect(() => encodePoint(point(rest))).toThrow(InvalidInputError);
  });
});
