import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "@jest/globals";
import { createPointWriter, type Influx, openInflux } from "@sluice/influx";
import { OutageError } from "@sluice/shared-types";

// Answers that no server we can install gives: 2.x and 3 refusals, overload with Retry-After.

let server: Server | undefined;
let influx: Influx | undefined;

afterEach(async () => {
  await influx?.close();
  server?.closeAllConnections();
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
});

interface Received {
  lines: string[];
  request: IncomingMessage;
}

async function serve(
  answer: (received: Received, response: ServerResponse) => void,
  version: 2 | 3 = 2,
): Promise<Influx> {
  server = createServer((request, response) => {
    void buffer(request).then((body) => {
      const text = request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body;
      answer({ lines: String(text).split("\n"), request }, response);
    });
  });
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  influx = openInflux({
    url: `http://127.0.0.1:${port}/base/`,
    version,
    org: "o&g",
    bucket: "b c",
    token: "tok",
    timeoutMs: 500,
  });
  return influx;
}

const say = (response: ServerResponse, status: number, body?: object, headers = {}) =>
  response.writeHead(status, headers).end(body && JSON.stringify(body));

describe("a server of generation 2", () => {
  test("is asked at its own path, with organisation, bucket and token", async () => {
    let seen: Received | undefined;
    const influx = await serve((received, response) => {
      seen = received;
      say(response, 204);
    });
    expect(await influx.write(["m v=1 1"])).toEqual([]);
    expect(seen?.lines).toEqual(["m v=1 1"]);
    expect(seen?.request.url).toBe("/base/api/v2/write?org=o%26g&bucket=b+c&precision=us");
    expect(seen?.request.headers.authorization).toBe("Token tok");
  });

  test.each([
    [429, "3", 3000],
    [503, "120", 120_000],
    [503, undefined, undefined],
    [500, undefined, undefined],
  ])("that answers %i with Retry-After %s has the lines held", async (status, retryAfter, retryAfterMs) => {
    const influx = await serve((_, response) =>
      say(response, status, { code: "x", message: "later" }, retryAfter ? { "retry-after": retryAfter } : {}),
    );
    const error = await influx.write(["m v=1 1"]).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(OutageError);
    expect(error).toMatchObject({ dependency: "influx", retryAfterMs });
  });

  test("that refuses whole requests without naming lines gets every good line, and the bad are found", async () => {
    const stored = new Set<string>();
    let requests = 0;
    const influx = await serve(({ lines }, response) => {
      requests++;
      if (lines.some((line) => line.startsWith("bad"))) {
        say(response, 400, { code: "invalid", message: "unable to parse points" });
        return;
      }
      for (const line of lines) stored.add(line);
      say(response, 204);
    });
    const lines = Array.from({ length: 1000 }, (_, i) =>
      i === 7 || i === 900 ? `bad${i} v=1 1` : `m v=${i} ${i}`,
    );
    const rejected = await influx.write(lines);
    expect(rejected.map(({ index, reason }) => [index, reason])).toEqual([
      [7, "influx_rejected"],
      [900, "influx_rejected"],
    ]);
    expect(stored.size).toBe(998);
    expect(requests).toBeLessThan(50);
  });

  test("that stores part of a request and names one conflict (422) costs only the fields in conflict", async () => {
    const stored = new Set<string>();
    const influx = await serve(({ lines }, response) => {
      const bad = lines.filter((line) => line.includes('v="'));
      for (const line of lines) if (!bad.includes(line)) stored.add(line);
      if (bad.length === 0) return say(response, 204);
      const message = `failure writing points to database: partial write: field type conflict: input field "v" on measurement "m" is type string, already exists as type float dropped=${bad.length}`;
      return say(response, 422, { code: "unprocessable entity", message });
    });
    const refused = await createPointWriter(influx, 100).write([
      { measurement: "m", tags: {}, fields: { v: 1 }, timeUs: 1 },
      { measurement: "m", tags: {}, fields: { v: "on", w: 2 }, timeUs: 2 },
      { measurement: "m", tags: {}, fields: { v: "3.5" }, timeUs: 3 },
    ]);
    expect(refused).toMatchObject([{ index: 1, fields: ["v"], reason: "type_conflict" }]);
    expect([...stored]).toEqual(expect.arrayContaining(["m v=1 1", "m w=2 2", "m v=3.5 3"]));
    expect(stored.size).toBe(3);
  });

  test("that finds a request too large gets it in parts", async () => {
    const stored: string[] = [];
    const influx = await serve(({ lines }, response) => {
      if (lines.length > 100) return say(response, 413, { code: "request too large", message: "too large" });
      stored.push(...lines);
      return say(response, 204);
    });
    expect(await influx.write(Array.from({ length: 1000 }, (_, i) => `m v=1 ${i}`))).toEqual([]);
    expect(new Set(stored).size).toBe(1000);
  });

  test("that takes the request and never answers has the lines held", async () => {
    const influx = await serve(() => {});
    await expect(influx.write(["m v=1 1"])).rejects.toThrow(/no answer within 500 ms/);
  });

  test("has a bucket made by name, with its InfluxQL mapping, where it is missing", async () => {
    const made: unknown[] = [];
    const influx = await serve(({ lines, request }, response) => {
      const url = request.url ?? "";
      if (request.method === "POST") {
        made.push(JSON.parse(lines.join("\n")));
        return say(response, 201, { id: "b1" });
      }
      if (url.startsWith("/base/api/v2/orgs"))
        return say(response, 200, { orgs: [{ id: "o1", name: "o&g" }] });
      if (url.startsWith("/base/api/v2/buckets"))
        return say(response, 404, { code: "not found", message: "bucket" });
      return say(response, 200, { content: [] });
    });
    await influx.ensureDatabase(30 * 86_400_000);
    expect(made).toEqual([
      { orgID: "o1", name: "b c", retentionRules: [{ type: "expire", everySeconds: 2_592_000 }] },
      { orgID: "o1", bucketID: "b1", database: "b c", retention_policy: "autogen", default: true },
    ]);
  });

  test("is asked to delete with a quoted predicate and a half-open range", async () => {
    let body: unknown;
    const influx = await serve(({ lines }, response) => {
      body = JSON.parse(lines.join("\n"));
      say(response, 204);
    });
    await influx.deleteRange({
      measurement: 'm"1',
      tags: { device_id: 'x" OR device_id="y' },
      fromUs: 1_767_225_600_000_001,
      toUs: 1_767_225_660_000_000,
    });
    expect(body).toEqual({
      start: "2026-01-01T00:00:00.000001000Z",
      stop: "2026-01-01T00:00:59.999999999Z",
      predicate: '"_measurement"="m\\"1" AND "device_id"="x\\" OR device_id=\\"y"',
    });
  });
});

describe("a server of generation 3", () => {
  test("names bad lines by number; the others are sent again and stored", async () => {
    const stored = new Set<string>();
    const influx = await serve(({ lines }, response) => {
      const bad = lines.flatMap((line, i) => (line.startsWith("bad") ? [i + 1] : []));
      if (bad.length === 0) {
        for (const line of lines) stored.add(line);
        return say(response, 204);
      }
      const data = bad.map((line_number) => ({
        line_number,
        original_line: "bad",
        error_message: "no fields",
      }));
      return say(response, 400, { error: "partial write of line protocol occurred", data });
    }, 3);
    const rejected = await influx.write(["m v=1 1", "bad 2", "m v=3 3"]);
    expect(rejected).toEqual([{ index: 1, reason: "influx_rejected", message: "no fields" }]);
    expect([...stored]).toEqual(["m v=1 1", "m v=3 3"]);
  });

  test("cannot delete, and says so", async () => {
    const influx = await serve((_, response) => say(response, 204), 3);
    await expect(influx.deleteRange({ tags: { a: "b" }, fromUs: 0, toUs: 1 })).rejects.toThrow(
      /cannot delete/,
    );
  });
});
