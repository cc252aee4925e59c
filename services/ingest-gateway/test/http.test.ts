import { gzipSync } from "node:zlib";
import { describe, expect, test } from "@jest/globals";
import { disableDevice } from "@sluice/db";
import { streamKey } from "@sluice/shared-types";
import { waitFor } from "@sluice/testkit";
import { rejectedOf, storedOf, useGateway } from "./use-gateway.ts";

describe("ingest over HTTP", () => {
  const it = useGateway();
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(`${it.httpUrl}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": it.a.apiKey, ...headers },
      body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
    });
  const storedWith = async (field: string) =>
    (await storedOf(it.bus)).filter((m) => m.samples.some((s) => s.readings.some((r) => r.field === field)));

  test("answers document B's telemetry with 201 once it is on the stream", async () => {
    const response = await post("/api/v1/devices/telemetry", {
      data: { temperature: 24.5, humidity: 60 },
      type: "environmental",
      metadata: { location: "sensor_room_1" },
    });
    expect(response.status).toBe(201);
    expect(await response.json()).toMatchObject({ device_id: "esp32_001", count: 1 });
    expect(await storedWith("humidity")).toMatchObject([
      { device: "esp32_001", type: "environmental", source: "http", tags: { location: "sensor_room_1" } },
    ]);
  });

  test("answers document A's data with 201 and its body", async () => {
    const data = { temperature: 22.5, ph: 6.1, light: 12000 };
    const response = await post("/api/data", data);
    expect(response.status).toBe(201);
    expect(await response.json()).toEqual({ status: "saved", data, triggered_rules: [], analytics: {} });
    expect(await storedWith("light")).toMatchObject([{ device: "esp32_001", type: "sensor_reading" }]);
  });

  test("takes document B's batch of points, each with its own measurement", async () => {
    const points = [
      {
        device_id: "esp32_001",
        measurement: "temperature",
        fields: { value: 23.5 },
        tags: { location: "office" },
      },
      { device_id: "esp32_002", measurement: "humidity", fields: { value: 55 } },
    ];
    const response = await post("/api/v1/influxdb/telemetry/batch", { points });
    expect(response.status).toBe(201);
    expect(await response.json()).toMatchObject({
      count: 1,
      refused: [{ point: 1, reason: "not_authorised" }],
    });
    expect((await storedOf(it.bus)).at(-1)).toMatchObject({
      type: "temperature",
      tags: { location: "office" },
    });
  });

  test("answers our own route with 202 and names the message", async () => {
    const response = await post("/api/v1/ingest", { v1: 1, boot: "x", seq: 3 });
    expect(response.status).toBe(202);
    expect(await response.json()).toMatchObject({
      level: "accepted",
      device: "esp32_001",
      boot: "x",
      seq: 3,
    });
  });

  test("answers ?ack=stored with 201 only once a worker has told so", async () => {
    const waiting = post("/api/v1/ingest?ack=stored", { v2: 1 });
    await waitFor(async () => (await storedWith("v2")).length === 1);
    const [message] = await storedWith("v2");
    const outcome = { notify: message?.notify, device: "esp32_001", level: "stored" };
    await it.bus.publish(streamKey("outcomes"), [JSON.stringify(outcome)]);
    const response = await waiting;
    expect(response.status).toBe(201);
    expect(await response.json()).toMatchObject({ level: "stored", outcomes: ["stored"] });
  });

  test("does the same request with one Idempotency-Key once, and answers it alike", async () => {
    const headers = { "idempotency-key": "k-1" };
    const first = await post("/api/v1/ingest", { w: 1 }, headers);
    const second = await post("/api/v1/ingest", { w: 1 }, headers);
    expect([first.status, second.status]).toEqual([202, 202]);
    expect(await second.json()).toEqual(await first.json());
    expect(await storedWith("w")).toHaveLength(1);
    const other = await post("/api/v1/ingest", { w: 2 }, headers);
    expect(other.status).toBe(422);
    await waitFor(async () => (await rejectedOf(it.bus)).some((r) => r.reason === "idempotency_mismatch"));
  });

  test("gives two simultaneous requests with one Idempotency-Key the same time", async () => {
    const headers = { "idempotency-key": "k-2" };
    await Promise.all([
      post("/api/v1/ingest", { both: 1 }, headers),
      post("/api/v1/ingest", { both: 1 }, headers),
    ]);
    const times = (await storedWith("both")).map((m) => m.samples[0]?.timeUs);
    expect(new Set(times).size).toBe(1);
  });

  test("keeps the good samples of an array and names the bad one", async () => {
    const samples = [
      { ok1: 1, ts: 1_790_000_000 },
      { ok1: [1], ts: 1_790_000_001 },
      { ok1: 3, ts: 1_790_000_002 },
    ];
    const response = await post("/api/v1/ingest", samples);
    expect(response.status).toBe(202);
    expect(await response.json()).toMatchObject({ refused: [{ index: 1, reason: "bad_value" }] });
    expect((await storedWith("ok1"))[0]?.samples).toHaveLength(2);
  });

  test("verifies an api_key inside the payload and strips it", async () => {
    expect((await post("/api/v1/ingest", { api_key: it.a.apiKey, sec: 1 })).status).toBe(202);
    expect((await post("/api/v1/ingest", { api_key: "wrong", sec: 2 })).status).toBe(401);
    const texts = JSON.stringify(await storedWith("sec"));
    expect(texts).not.toContain("api_key");
    expect(JSON.stringify(await rejectedOf(it.bus))).not.toContain(Buffer.from("wrong").toString("base64"));
  });

  test("inflates gzip up to the limit and no further", async () => {
    const packed = (text: string) => new Uint8Array(gzipSync(text));
    const headers = { "content-encoding": "gzip" };
    expect((await post("/api/v1/ingest", packed('{"zipped":1}'), headers)).status).toBe(202);
    const bomb = packed(`{"x":"${" ".repeat(50_000_000)}"}`);
    expect((await post("/api/v1/ingest", bomb, headers)).status).toBe(413);
    expect((await post("/api/v1/ingest", "not gzip", headers)).status).toBe(400);
  });

  test("refuses a key in the URL, two keys, an empty and an unknown key alike", async () => {
    const ask = (path: string, headers: Record<string, string>) =>
      fetch(`${it.httpUrl}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: '{"x":1}',
      });
    const answers = await Promise.all([
      ask("/api/v1/ingest", {}),
      ask("/api/v1/ingest", { "x-api-key": "" }),
      ask("/api/v1/ingest", { "x-api-key": it.a.apiKey.slice(0, 8) }),
      ask("/api/v1/ingest", { authorization: "Bearer " }),
      ask("/api/v1/ingest", { authorization: `Bearer ${it.a.apiKey}`, "x-api-key": it.a.apiKey }),
      ask(`/api/v1/ingest?api_key=${it.a.apiKey}`, { "x-api-key": it.a.apiKey }),
    ]);
    expect(answers.map((r) => r.status)).toEqual([401, 401, 401, 401, 401, 401]);
    const bodies = new Set(await Promise.all(answers.map((r) => r.text())));
    expect(bodies.size).toBe(1);
    expect(JSON.parse([...bodies][0] ?? "")).toMatchObject({
      error: expect.any(String),
      message: expect.any(String),
    });
  });

  test("who is turned away is told by the address that the front of this machine saw, once a minute", async () => {
    const from = { "x-forwarded-for": "127.0.0.1, 203.0.113.7", "x-api-key": "wrong" };
    for (let i = 0; i < 3; i++) await post("/api/v1/ingest", { v: 1 }, from);
    const knocks = await waitFor(async () => {
      const found = (await rejectedOf(it.bus)).filter(({ who }) => who?.address === "203.0.113.7");
      return found.length > 0 ? found : undefined;
    });
    expect(knocks).toMatchObject([{ reason: "bad_credentials", who: { user: "", client: "", times: 1 } }]);
  });

  test("answers wrong method, path and content type as they deserve", async () => {
    const get = await fetch(`${it.httpUrl}/api/v1/ingest`, { headers: { "x-api-key": it.a.apiKey } });
    expect([get.status, get.headers.get("allow")]).toEqual([405, "POST"]);
    expect((await fetch(`${it.httpUrl}/nowhere`)).status).toBe(404);
    for (const type of ["text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-7"]) {
      expect((await post("/api/v1/ingest", '{"x":1}', { "content-type": type })).status).toBe(415);
    }
    expect((await fetch(`${it.httpUrl}/api/v1/now`)).status).toBe(200);
  });

  test("answers 403 to a disabled device within moments", async () => {
    await disableDevice(it.db, "esp32_002");
    await waitFor(
      async () => (await post("/api/v1/ingest", { x: 1 }, { "x-api-key": it.b.apiKey })).status === 403,
    );
  });
});
