import { connect } from "node:net";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { sendHostileRequests } from "./hostile-requests.ts";
import { useApi } from "./use-api.ts";

describe("bad requests", () => {
  const it = useApi(() => ({ SLUICE_CORS_ORIGINS: "https://good.example", SLUICE_RATE_LIMIT: "100000" }));
  const get = (path: string, headers: Record<string, string> = {}) =>
    it.call("GET", path, { key: it.keys.admin, headers });
  beforeAll(async () => {
    await it.db.query(
      `WITH s AS (INSERT INTO iot.sensors (device_id, sensor_code, value_type) SELECT id, 'temperature', 'number' FROM iot.devices
         WHERE device_code = 'esp32_001' RETURNING id)
       INSERT INTO public.measurement (time, sensor_id, value) SELECT now() - n * INTERVAL '1 second', s.id, n FROM s, generate_series(1, 3000) n`,
    );
  });

  test.each(["0", "-1", "1e9", "abc", "1.5", "%20", "", "99999999"])(
    "B074: limit=%s is refused by name",
    async (value) => {
      for (const path of ["devices", "sensors", "quarantine", "jobs", "audit"]) {
        const { status, json } = await get(`/api/v1/${path}?limit=${value}`);
        expect([path, status, json.errors?.[0].field]).toEqual([path, 400, "limit"]);
      }
    },
  );

  test.each(["limit[]=1", "limit=1&limit=2"])("B074: %s is refused", async (query) => {
    expect((await get(`/api/v1/devices?${query}`)).status).toBe(400);
  });

  test("B075: ranges that are none are refused, long ones are capped", async () => {
    const series = (query: string) => get(`/api/v1/series?sensor=esp32_001/temperature&${query}`);
    expect((await series("from=2026-02-01&to=2026-01-01")).status).toBe(400);
    expect((await series("from=2026-01-01&to=2026-01-01")).status).toBe(400);
    expect((await series("from=2026-02-30")).status).toBe(400);
    expect((await series("resolution=1 day; drop")).status).toBe(400);
    expect((await series("maxPoints=0")).status).toBe(400);
    const { status, json } = await series("from=1976-01-01&maxPoints=50");
    expect([status, json.points.length <= 50]).toEqual([200, true]);
    for (const body of [{ from: "2026-02-01", to: "2026-01-01" }, { to: "2026-01-01" }]) {
      expect((await it.call("POST", "/api/v1/jobs/backfill", { key: it.keys.admin, body })).status).toBe(400);
    }
    const from = Math.floor(Date.now() / 1000) - 3000;
    for (const method of ["minmax", "lttb"]) {
      const { json } = await series(`from=${from}&maxPoints=50&resolution=raw&method=${method}`);
      expect(json.points.length).toBeLessThanOrEqual(51);
      expect(json.points.length).toBeGreaterThan(40);
    }
    const page = await series("maxPoints=1000&resolution=raw&method=none");
    expect([page.json.count, typeof page.json.next]).toEqual([1000, "string"]);
    const csv = await series("format=csv");
    expect(csv.text.trim().split("\n")).toHaveLength(3001);
    expect((await series("format=ndjson")).text.trim().split("\n")).toHaveLength(3000);
  });

  test.each(["'", '"', ";", "\\", "ü", "x' OR '1'='1", "1; DROP TABLE measurement"])(
    "B076: a field named %j is only not there",
    async (name) => {
      const { status } = await get(`/api/v1/series?device=esp32_001&field=${encodeURIComponent(name)}`);
      expect(status).toBe(404);
      expect((await get(`/api/v1/devices?order=${encodeURIComponent(name)}`)).status).toBe(400);
    },
  );

  test("B078, B079: bodies that are none are refused", async () => {
    const post = (body: string, type = "application/json") =>
      it.call("POST", "/api/v1/users", { key: it.keys.admin, body, headers: { "content-type": type } });
    expect((await post("{")).status).toBe(400);
    expect((await post('{"email":')).status).toBe(400);
    expect((await post(`"${"x".repeat(600_000)}"`)).status).toBe(413);
    expect((await post("{}", "text/plain")).status).toBe(415);
    expect((await post("{}", "application/json; charset=utf-7")).status).toBe(415);
    expect((await post('{"__proto__": {"role": "admin"}}')).status).toBe(400);
    expect((await post("[]")).status).toBe(400);
  });

  test("B081, B082: headers and methods that are none of ours", async () => {
    expect((await get(`/api/v1/devices?cursor=${"a".repeat(10_000)}`)).status).toBe(414);
    expect(
      await raw(it.server.port, `GET / HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(100_000)}\r\n\r\n`),
    ).toMatch(/ 431 /);
    const put = await it.call("PUT", "/api/v1/lag", { key: it.keys.admin });
    expect([put.status, put.headers.get("allow")]).toEqual([405, "GET"]);
    const foreign = await it.call("OPTIONS", "/api/v1/devices", {
      headers: { origin: "https://evil.example" },
    });
    expect([foreign.status, foreign.headers.get("access-control-allow-origin")]).toEqual([405, null]);
    const known = await it.call("OPTIONS", "/api/v1/devices", {
      headers: { origin: "https://good.example" },
    });
    expect([known.status, known.headers.get("access-control-allow-origin")]).toEqual([
      204,
      "https://good.example",
    ]);
    expect(known.headers.get("access-control-allow-credentials")).toBeNull();
  });

  test.each([
    "/..%2f..%2fetc/passwd",
    "/%00",
    "/%",
    "//evil.com",
    "/static/....//",
    "/docs/..%2f..%2fpackage.json",
  ])("B083: %s leads nowhere", async (path) => {
    const answer = await raw(it.server.port, `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1.1 (400|403|404) /);
    expect(answer).not.toMatch(/^location:/im);
  });

  test("every answer forbids scripts, frames and guessing", async () => {
    const { headers } = await get("/api/v1/devices");
    expect(headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
  });

  test("refusals are problem details with document B's words", async () => {
    const { json, headers } = await get("/api/v1/devices/nobody");
    expect(headers.get("content-type")).toContain("application/problem+json");
    expect(json).toMatchObject({
      status: 404,
      title: "Not Found",
      error: "Not Found",
      message: "no device 'nobody'",
    });
  });

  test("the description of the API is complete OpenAPI 3.1", async () => {
    const { json } = await it.call("GET", "/docs/json");
    expect(json.openapi).toBe("3.1.0");
    const paths = Object.keys(json.paths);
    for (const path of [
      "/api/v1/series",
      "/api/v1/influxdb/device/{id}/data",
      "/api/v1/measurement",
      "/api/etl/run",
    ]) {
      expect(paths).toContain(path);
    }
    const page = await it.call("GET", "/docs/");
    expect(page.text).toContain("swagger");
    expect(page.headers.get("content-security-policy")).toMatch(/script-src 'self'/);
    expect((await it.call("GET", "/docs/static/swagger-ui-bundle.js")).status).toBe(200);
  });

  test("whatever is wrong with a request to any route, it is told so: a sample of the long run", async () => {
    const { sent, wrong } = await sendHostileRequests(it, 61);
    expect(wrong).toEqual([]);
    expect(sent).toBeGreaterThan(100);
  });

  test("live readings come as events, to whoever may see them", async () => {
    const stop = new AbortController();
    const response = await fetch(`${it.url}/api/v1/live?events=lag`, {
      headers: { "x-api-key": it.keys.read },
      signal: stop.signal,
    });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const reader = response.body?.getReader();
    let text = "";
    while (!text.includes("event: lag")) text += new TextDecoder().decode((await reader?.read())?.value);
    stop.abort();
    expect((await it.call("GET", "/api/v1/live?device=esp32_002", { key: it.a.apiKey })).status).toBe(403);
  });
});

describe("too many requests", () => {
  const it = useApi(() => ({ SLUICE_RATE_LIMIT: "20" }));

  test("are answered 429 in document B's shape, for this key alone", async () => {
    let last = await it.call("GET", "/api/v1/presence", { key: it.keys.read });
    expect(last.headers.get("x-ratelimit-limit")).toBe("20");
    for (let i = 0; i < 20; i++) last = await it.call("GET", "/api/v1/presence", { key: it.keys.read });
    expect(last.status).toBe(429);
    expect(last.json).toMatchObject({ error: "Rate limit exceeded", limit: 20, window: 60 });
    expect(last.json.retry_after).toBeGreaterThan(0);
    expect(last.headers.get("retry-after")).not.toBeNull();
    const spoofed = await it.call("GET", "/api/v1/presence", {
      key: it.keys.read,
      headers: { "x-forwarded-for": "10.0.0.1" },
    });
    expect(spoofed.status).toBe(429);
    expect((await it.call("GET", "/api/v1/presence", { key: it.keys.admin })).status).toBe(200);
  });
});

function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk;
    });
    socket.on("end", () => resolve(answer));
    socket.on("error", (error) => (answer === "" ? reject(error) : resolve(answer)));
  });
}
