import { describe, expect, test } from "@jest/globals";
import { openBus, openKeyValue } from "@sluice/bus";
import { createDevice, disableDevice, openDb } from "@sluice/db";
import { startRedis } from "@sluice/servers";
import { createMetrics, loadConfig } from "@sluice/service-kit";
import { decodeMessage } from "@sluice/shared-types";
import { patience, startProxy, usePostgres, useRedis, waitFor } from "@sluice/testkit";
import { generate, type Packet } from "mqtt-packet";
import { Config } from "../src/config.ts";
import { openCredentials } from "../src/credentials.ts";
import { openGateway } from "../src/gateway.ts";
import { connectDevice, openRaw, PEPPER, storedOf, textsOf, useGateway } from "./use-gateway.ts";

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** A gateway of its own, as `main.ts` puts it together. */
async function startGateway(redisUrl: string, databaseUrl: string, env: Record<string, string> = {}) {
  const config = loadConfig(Config, {
    REDIS_URL: redisUrl,
    DATABASE_URL: databaseUrl,
    SLUICE_PEPPER: PEPPER,
    SLUICE_MQTT_PORT: "0",
    SLUICE_HTTP_PORT: "0",
    ...env,
  });
  const bus = await openBus(redisUrl);
  const keyValue = await openKeyValue(redisUrl);
  const credentials = await openCredentials({ databaseUrl, keyValue, pepper: PEPPER, log: SILENT });
  const metrics = createMetrics("ingest-gateway");
  const gateway = await openGateway({ config, bus, keyValue, credentials, log: SILENT, metrics });
  return {
    bus,
    mqttUrl: `mqtt://127.0.0.1:${gateway.ports.mqtt}`,
    httpUrl: `http://127.0.0.1:${gateway.ports.http}`,
    port: gateway.ports.mqtt ?? 0,
    close: async () => {
      await gateway.close();
      await credentials.close();
      await keyValue.close();
      await bus.close();
    },
  };
}

describe("sessions", () => {
  const it = useGateway();

  test("a withdrawn credential cuts its live session and no other", async () => {
    const other = await connectDevice(it.mqttUrl, it.b);
    const client = await connectDevice(it.mqttUrl, it.a);
    let closed = false;
    client.on("close", () => {
      closed = true;
    });
    await disableDevice(it.db, "esp32_001");
    await waitFor(() => closed, { timeoutMs: 5000, what: "the session to be cut" });
    await expect(connectDevice(it.mqttUrl, it.a)).rejects.toThrow(/Not authorized/);
    expect(other.connected).toBe(true);
    await client.endAsync(true);
    await other.endAsync();
  });

  test("a device gets in at its first attempt, however new it is", async () => {
    for (let i = 0; i < 10; i++) {
      const device = await createDevice(it.db, PEPPER, { id: `newborn_${i}` });
      await (await connectDevice(it.mqttUrl, device)).endAsync();
    }
  });

  test("wrong passwords are answered later and later, the right one at once", async () => {
    const c = await createDevice(it.db, PEPPER, { id: "esp32_003" });
    const wrong = { username: c.username, password: "wrong" };
    const tries: number[] = [];
    for (let i = 0; i < 6; i++) {
      const before = Date.now();
      await expect(connectDevice(it.mqttUrl, wrong)).rejects.toThrow(/Not authorized/);
      tries.push(Date.now() - before);
    }
    expect(tries.at(-1)).toBeGreaterThan(500);
    const before = Date.now();
    const client = await connectDevice(it.mqttUrl, c);
    expect(Date.now() - before).toBeLessThan(patience(500));
    await client.endAsync();
  });

  test("speaks MQTT over WebSocket, and refuses anonymous clients on every port", async () => {
    const ws = `ws://127.0.0.1:${it.gateway.ports.ws}/mqtt`;
    const client = await connectDevice(ws, it.b);
    await client.publishAsync("iotflow/devices/esp32_002/telemetry/ws", '{"x":1}', { qos: 1 });
    expect((await storedOf(it.bus)).some((m) => m.type === "ws")).toBe(true);
    await client.endAsync();
    for (const url of [ws, it.mqttUrl]) {
      await expect(connectDevice(url, { username: "", password: "" })).rejects.toThrow(/Not authorized/);
    }
  });

  test("keeps one truth of a device's presence in document B's keys", async () => {
    const client = await connectDevice(it.mqttUrl, it.b);
    const base = "iotflow/devices/esp32_002/status";
    await client.publishAsync(`${base}/offline`, "offline", { qos: 1, retain: true });
    await waitFor(async () => (await it.keyValue.find("device:status:esp32_002")) === "offline");
    await client.publishAsync(`${base}/heartbeat`, '{"status":"alive","uptime":5}', { qos: 1 });
    await waitFor(async () => (await it.keyValue.find("device:status:esp32_002")) === "online");
    expect(await it.keyValue.find("heartbeat:esp32_002")).toMatch(/^20\d\d-/);
    await client.endAsync();
  });
});

describe("outages", () => {
  const redis = useRedis();
  const database = usePostgres();

  test("a message that cannot be kept is not acknowledged; HTTP says 503 with Retry-After; both recover", async () => {
    const server = await startRedis({ appendfsync: "no" });
    const db = await openDb(database.url);
    const device = await createDevice(db, PEPPER, { id: "out_1" });
    const gateway = await startGateway(server.url, database.url);
    const publish = (client: Awaited<ReturnType<typeof connectDevice>>) =>
      client.publishAsync("iotflow/devices/out_1/telemetry", '{"x":1}', { qos: 1 });
    const post = () =>
      fetch(`${gateway.httpUrl}/api/v1/ingest`, {
        method: "POST",
        headers: { "x-api-key": device.apiKey, "content-type": "application/json" },
        body: '{"y":1}',
      });
    const client = await connectDevice(gateway.mqttUrl, device);
    await publish(client);
    await server.kill("SIGKILL");
    let acknowledged = false;
    let cut = false;
    client.on("close", () => {
      cut = true;
    });
    void publish(client).then(
      () => {
        acknowledged = true;
      },
      () => {},
    );
    const answer = await post();
    expect([answer.status, Number(answer.headers.get("retry-after")) > 0]).toEqual([503, true]);
    await waitFor(() => cut, { timeoutMs: 15_000, what: "the connection to be closed" });
    expect(acknowledged).toBe(false);
    await server.restart();
    await waitFor(async () => (await post()).status === 202, { timeoutMs: 15_000 });
    const again = await connectDevice(gateway.mqttUrl, device);
    await publish(again);
    await again.endAsync();
    await client.endAsync(true);
    await gateway.close();
    await db.close();
    await server.stop();
  });

  test("a gateway started while PostgreSQL is down knows its devices from the copy in Redis", async () => {
    const proxy = await startProxy(database.port);
    const url = new URL(database.url);
    url.port = String(proxy.port);
    const db = await openDb(database.url);
    const device = await createDevice(db, PEPPER, { id: "copy_1" });
    const first = await startGateway(redis.url, url.href);
    await waitFor(async () =>
      connectDevice(first.mqttUrl, device).then(
        (c) => c.endAsync().then(() => true),
        () => false,
      ),
    );
    await first.close();
    proxy.refuse();
    const second = await startGateway(redis.url, url.href);
    const client = await connectDevice(second.mqttUrl, device);
    await client.publishAsync("iotflow/devices/copy_1/telemetry/copy", '{"x":1}', { qos: 1 });
    await client.endAsync();
    await second.close();
    await proxy.close();
    await db.close();
  });

  test("a new device gets in soon although PostgreSQL's answers were lost on a connection that stays open", async () => {
    const proxy = await startProxy(database.port);
    const url = new URL(database.url);
    url.port = String(proxy.port);
    const gateway = await startGateway(redis.url, url.href);
    proxy.dropReplies();
    const db = await openDb(database.url);
    const device = await createDevice(db, PEPPER, { id: "silent_1" });
    const connect = () => connectDevice(gateway.mqttUrl, device).then((client) => client.endAsync());
    await expect(connect()).rejects.toThrow(/Not authorized/);
    // The gateway asks the database whether he is new, and does not get that answer either.
    const before = proxy.lost;
    await waitFor(() => proxy.lost > before, { timeoutMs: 15_000, what: "a lost answer" });
    proxy.dropReplies(false);
    await waitFor(() => connect().then(() => true), { timeoutMs: 30_000, intervalMs: 200 });
    await gateway.close();
    await db.close();
    await proxy.close();
  });

  test("a DUP sent to another gateway gets the time of its first arrival; a new message does not", async () => {
    const db = await openDb(database.url);
    const device = await createDevice(db, PEPPER, { id: "dup_1" });
    const [one, two] = [
      await startGateway(redis.url, database.url),
      await startGateway(redis.url, database.url),
    ];
    const send = async (port: number, dup: boolean, payload: string) => {
      const login = { username: device.username, password: Buffer.from(device.password) };
      const raw = await openRaw(
        port,
        generate({
          cmd: "connect",
          protocolId: "MQTT",
          protocolVersion: 4,
          clean: false,
          clientId: "dup_1",
          keepalive: 60,
          ...login,
        } as Packet),
      );
      await raw.untilBytes(4);
      const topic = "iotflow/devices/dup_1/telemetry/dup";
      raw.socket.write(
        generate({ cmd: "publish", topic, payload, qos: 1, dup, retain: false, messageId: 77 }),
      );
      await raw.untilBytes(8);
      raw.socket.destroy();
    };
    await send(one.port, false, '{"x":1}');
    await send(two.port, true, '{"x":1}');
    await send(two.port, true, '{"x":2}');
    const messages = (await textsOf(one.bus, "telemetry")).map(decodeMessage).filter((m) => m.type === "dup");
    const [first, resent, other] = messages.map((m) => m.samples[0]?.timeUs);
    expect(resent).toBe(first);
    expect(other).not.toBe(first);
    await Promise.all([one.close(), two.close()]);
    await db.close();
  });
});
