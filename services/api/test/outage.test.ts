import { get, type IncomingMessage, request } from "node:http";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Bus, type KeyValue, openBus, openKeyValue } from "@sluice/bus";
import { createApiKey, createDevice, type Db, openDb } from "@sluice/db";
import { createLog, createMetrics, loadConfig } from "@sluice/service-kit";
import { encodeMessage, streamKey } from "@sluice/shared-types";
import { usePrivatePostgres, useRedis, waitFor } from "@sluice/testkit";
import { openApi } from "../src/api.ts";
import { Config } from "../src/config.ts";
import type { Server } from "../src/server.ts";

const PEPPER = "pepper-of-the-tests";
let db: Db;
let bus: Bus;
let keyValue: KeyValue;
let server: Server;
let key = "";

afterAll(async () => {
  await server?.close();
  await keyValue?.close();
  await bus?.close();
  await db?.close();
});
const redis = useRedis();
const postgres = usePrivatePostgres();
beforeAll(async () => {
  const config = loadConfig(Config, {
    REDIS_URL: redis.url,
    DATABASE_URL: postgres.url,
    SLUICE_PEPPER: PEPPER,
    SLUICE_HTTP_PORT: "0",
  });
  db = await openDb(postgres.url, { max: 3 });
  await createDevice(db, PEPPER, { id: "esp32_001" });
  key = (await createApiKey(db, PEPPER, { name: "tests", scopes: ["read"] })).key;
  bus = await openBus(redis.url, {});
  keyValue = await openKeyValue(redis.url, {});
  server = await openApi({
    config,
    db,
    bus,
    keyValue,
    log: createLog("api", "fatal"),
    metrics: createMetrics("api"),
  });
});

const call = (path: string) =>
  fetch(`http://127.0.0.1:${server.port}${path}`, { headers: { "x-api-key": key } });

test("a listener that never reads is cut off, and the others hear everything", async () => {
  let heard = 0;
  let cut = false;
  let slowResponse: IncomingMessage | undefined;
  const options = {
    port: server.port,
    host: "127.0.0.1",
    path: "/api/v1/live?events=readings",
    headers: { "x-api-key": key },
  };
  const slow = request(options, (response) => {
    slowResponse = response;
    response.pause();
    response.on("error", () => {});
    response.socket.on("close", () => {
      cut = true;
    });
  });
  slow.on("error", () => {});
  slow.end();
  const good = get(options, (response) => {
    response.on("error", () => {});
    const lines = createInterface({ input: response });
    lines.on("error", () => {}); // when it is ended below
    lines.on("line", (line) => {
      if (line === "event: reading") heard++;
    });
  });
  good.on("error", () => {});
  await bus.publish(streamKey("telemetry"), [message(0, "x")]);
  await waitFor(async () => {
    if (heard > 0) return true;
    await bus.publish(streamKey("telemetry"), [message(0, "x")]);
    return false;
  });
  const before = heard;
  const long = "y".repeat(4000);
  // Each batch is waited for: on a busy machine the good listener too would fall behind, and rightly be cut off.
  for (let i = 0; i < 100; i++) {
    await bus.publish(
      streamKey("telemetry"),
      Array.from({ length: 60 }, (_, n) => message(i * 60 + n, long)),
    );
    await waitFor(() => heard >= before + (i + 1) * 60, {
      timeoutMs: 20_000,
      what: "the good listener to hear all",
    });
  }
  // it is cut off here; the client sees it only when it reads what is left on the way
  slowResponse?.resume();
  await waitFor(() => cut, { timeoutMs: 10_000, what: "the slow listener to be cut off" });
  good.destroy();
});

test("without PostgreSQL the answer is 503 with Retry-After, and 200 again once it is back", async () => {
  expect((await call("/api/v1/presence")).status).toBe(200);
  await postgres.kill("SIGKILL");
  const down = await waitFor(async () => {
    const answer = await call("/api/v1/presence");
    return answer.status === 503 ? answer : undefined;
  });
  expect(down.headers.get("retry-after")).not.toBeNull();
  expect(await down.json()).toMatchObject({ status: 503, code: "unavailable", error: "Service Unavailable" });
  expect((await call("/health")).status).toBe(503);
  await postgres.restart();
  await waitFor(async () => (await call("/api/v1/presence")).status === 200, { timeoutMs: 20_000 });
  expect((await call("/health")).status).toBe(200);
});

function message(n: number, text: string): string {
  const receivedUs = (Date.now() + n) * 1000;
  const envelope = {
    device: "esp32_001",
    kind: "telemetry",
    type: "t",
    source: "http",
    receivedUs,
    timesUs: [receivedUs],
    clock: "none",
  } as const;
  return encodeMessage(envelope, JSON.stringify({ n, text }));
}
