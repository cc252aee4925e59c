import { describe, expect, test } from "@jest/globals";
import { OutageError } from "@sluice/shared-types";
import { parseRetryAfter, readWriteAnswer } from "./refusal.ts";

const answer = (status: number, body: object | string = "", headers: Record<string, string> = {}) => ({
  status,
  headers,
  body: typeof body === "string" ? body : JSON.stringify(body),
});

describe("readWriteAnswer", () => {
  test("takes only a success status for stored", () => {
    expect(readWriteAnswer(answer(204), ["m v=1 1"])).toBeUndefined();
    expect(readWriteAnswer(answer(200), ["m v=1 1"])).toBeUndefined();
    expect(() => readWriteAnswer(answer(302), ["m v=1 1"])).toThrow(OutageError);
    expect(() => readWriteAnswer(answer(200, "<html>Log in to the network"), ["m v=1 1"])).toThrow(
      OutageError,
    );
  });

  test("finds the lines that 1.x could not parse", () => {
    const error =
      "partial write: unable to parse 'm v= 5': missing field value\nunable to parse 'x': missing fields dropped=0";
    const refusal = readWriteAnswer(answer(400, { error }), ["x", "m v=1 5", "m v= 5"]);
    expect([...(refusal?.named.keys() ?? [])]).toEqual([0, 2]);
    expect(refusal?.named.get(0)).toMatch(/missing fields/);
    expect(refusal?.dropped).toBeUndefined();
  });

  test("finds the lines that 3 numbers", () => {
    const body = {
      error: "partial write of line protocol occurred",
      data: [{ original_line: "x", line_number: 2, error_message: "no fields were provided" }],
    };
    const refusal = readWriteAnswer(answer(400, body), ["m v=1 5", "x"]);
    expect([...(refusal?.named ?? [])]).toEqual([[1, "no fields were provided"]]);
  });

  test("reads 2.x's field conflict in a 422, names quoted and all", () => {
    const message =
      'failure writing points to database: partial write: field type conflict: input field "a\\"b" on measurement "m x" is type string, already exists as type float dropped=3';
    expect(
      readWriteAnswer(answer(422, { code: "unprocessable entity", message }), ["m a=1 1"]),
    ).toMatchObject({
      conflict: { field: 'a"b', measurement: "m x", storedType: "float" },
      dropped: 3,
    });
  });

  test.each([
    ["a wrong login", 401, { error: "authorization failed" }],
    ["a missing right", 403, { code: "forbidden", message: "insufficient permissions" }],
    ["a missing bucket", 404, { code: "not found", message: 'bucket "x" not found' }],
    ["a missing organisation told as 400", 400, { message: "please provide either orgID or org" }],
    ["a server that is starting", 500, { error: "engine is closed" }],
    ["a proxy's page", 502, "<html>"],
  ])("holds the lines on %s", (_, status, body) => {
    expect(() => readWriteAnswer(answer(status, body), ["m v=1 1"])).toThrow(OutageError);
  });
});

test("Retry-After is understood as seconds and as a date", () => {
  const nowMs = Date.UTC(2026, 0, 1, 12, 0, 0);
  expect(parseRetryAfter(undefined, nowMs)).toBeUndefined();
  expect(parseRetryAfter("7", nowMs)).toBe(7000);
  expect(parseRetryAfter("0.5", nowMs)).toBe(500);
  expect(parseRetryAfter("Thu, 01 Jan 2026 12:00:30 GMT", nowMs)).toBe(30_000);
  expect(parseRetryAfter("Thu, 01 Jan 2026 11:00:00 GMT", nowMs)).toBe(0);
  expect(parseRetryAfter("soon", nowMs)).toBeUndefined();
});
