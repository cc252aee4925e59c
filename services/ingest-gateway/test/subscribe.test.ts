import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { type Server, startMosquitto, startRedis } from "@sluice/servers";
import { startProxy, useRedis, waitFor } from "@sluice/testkit";
import type { MqttClient } from "mqtt";
import { connectClient, startProductionBroker, urlFor } from "./production-mosquitto.ts";
import {
  type GatewayOptions,
  type Line,
  openGateway,
  rowsOf,
  storedMessages,
  textsOf,
} from "./subscriber-gateway.ts";

const redis = useRedis();
/** One for each test: what a closed subscriber leaves at a broker goes on sharing in its messages. */
let broker: Server;
const cleanups: (() => unknown)[] = [];
beforeEach(async () => {
  broker = await startMosquitto({
    config: "max_inflight_messages 1000\nmax_queued_messages 0\nsys_interval 1",
  });
  cleanups.push(() => broker.stop());
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

let device = 0;
/** A device id that no other test has used, so that tests share servers. */
const newDevice = () => `d${++device}`;
const newClientId = () => `gw${++device}`;

async function open(options: Partial<GatewayOptions> = {}, lines: Line[] = []) {
  const gateway = await openGateway(
    { redisUrl: redis.url, url: broker.url, clientId: newClientId(), ...options },
    lines,
  );
  let closed = false;
  const close = async () => {
    if (!closed) await gateway.close();
    closed = true;
  };
  cleanups.push(close);
  return { ...gateway, close };
}

async function openReady(options: Partial<GatewayOptions> = {}, lines: Line[] = []) {
  const gateway = await open(options, lines);
  await waitFor(() => gateway.subscriber.ping().then(() => true), { what: "the subscriber" });
  return gateway;
}

async function publisher(url = broker.url): Promise<MqttClient> {
  const client = await connectClient(url, { clientId: `pub${++device}` });
  cleanups.push(() => client.end(true));
  return client;
}

const stored = async (id: string, redisUrl = redis.url) =>
  (await storedMessages(redisUrl)).filter((message) => message.device === id);
const telemetry = (id: string) => `iotflow/devices/${id}/telemetry`;

/** Follows `/ack` and `/rejected` of a device. */
async function answersTo(client: MqttClient, id: string) {
  const got: { topic: string; body: { seq?: number; level?: string; reason?: string } }[] = [];
  client.on("message", (topic, payload) => got.push({ topic, body: JSON.parse(payload.toString()) }));
  await client.subscribeAsync([`iotflow/devices/${id}/ack`, `iotflow/devices/${id}/rejected`], { qos: 1 });
  return got;
}

describe("following an external broker", () => {
  test("takes every incoming topic, and answers on /ack and /rejected", async () => {
    await openReady();
    const id = newDevice();
    const client = await publisher();
    const answers = await answersTo(client, id);
    await client.publishAsync(telemetry(id), '{"boot":"b","seq":1,"t":1}', { qos: 1 });
    await client.publishAsync(`${telemetry(id)}/air`, '{"boot":"b","seq":2,"t":1}', { qos: 0 });
    await client.publishAsync(telemetry(id), '{"boot":"b","seq":3,"t":"NaN"}', { qos: 2 });
    await client.publishAsync(`iotflow/devices/${id}/status/heartbeat`, '{"uptime":5}', { qos: 1 });
    await client.publishAsync(`iotflow/lwt/devices/${id}`, "offline", { qos: 1, retain: true });
    await waitFor(async () => (await stored(id)).length === 4 && answers.length === 3);
    expect((await stored(id)).map(({ kind, type }) => `${kind} ${type}`).sort()).toEqual([
      "status heartbeat",
      "status offline",
      "telemetry air",
      "telemetry telemetry",
    ]);
    const told = answers.map(
      ({ topic, body }) => `${topic.split("/").at(-1)} ${body.seq} ${body.level} ${body.reason}`,
    );
    expect(told.sort()).toEqual([
      "ack 1 accepted undefined",
      "ack 2 accepted undefined",
      "rejected 3 rejected not_finite",
    ]);
    await client.publishAsync(`iotflow/lwt/devices/${id}`, "", { retain: true });
  });

  test("does not take a retained replay for a new sample", async () => {
    const id = newDevice();
    const client = await publisher();
    await client.publishAsync(telemetry(id), '{"t":1}', { qos: 1, retain: true });
    for (const shared of ["auto", "false"] as const) await (await openReady({ shared })).close();
    const gateway = await openReady({ shared: "false" });
    await client.publishAsync(telemetry(id), '{"t":2}', { qos: 1, retain: true });
    await waitFor(async () => (await stored(id)).length > 0);
    await gateway.close();
    expect((await stored(id)).map((m) => m.samples[0]?.readings[0]?.value)).toEqual([2]);
    await client.publishAsync(telemetry(id), "", { retain: true });
  });

  test("acknowledges nothing that is not durable, and bounds what it holds meanwhile", async () => {
    const private_ = await startRedis({ appendfsync: "no" });
    cleanups.push(() => private_.stop());
    const id = newDevice();
    const gateway = await openReady({ redisUrl: private_.url, connections: 1, window: 100 });
    const client = await publisher();
    const answers = await answersTo(client, id);
    await private_.kill("SIGSTOP");
    const count = 5000;
    const padding = "x".repeat(500);
    for (let seq = 0; seq < count; seq++) {
      client.publish(telemetry(id), JSON.stringify({ seq, t: seq, padding }), { qos: 1 });
    }
    await waitFor(() => gateway.subscriber.inFlight() >= 100);
    await client.publishAsync("other", "", { qos: 1 });
    // One chunk of the socket may come on top of the window.
    expect(gateway.subscriber.inFlight()).toBeLessThan(100 + 65_536 / 500);
    expect(answers).toEqual([]);
    await private_.kill("SIGCONT");
    await waitFor(() => answers.length === count, { timeoutMs: 20_000, what: "every answer" });
    expect(new Set((await stored(id, private_.url)).map((m) => m.seq)).size).toBe(count);
  });

  test("survives a connection that is cut again and again, without loss and without a second row", async () => {
    const proxy = await startProxy(broker.port);
    cleanups.push(() => proxy.close());
    await openReady({ url: `mqtt://127.0.0.1:${proxy.port}` });
    const id = newDevice();
    const client = await publisher();
    const cutter = setInterval(() => proxy.cutAll(), 150);
    cleanups.push(() => clearInterval(cutter));
    const count = 3000;
    for (let i = 0; i < count; i += 100) {
      const some = Array.from({ length: 100 }, (_, k) => JSON.stringify({ v: i + k }));
      await Promise.all(some.map((payload) => client.publishAsync(telemetry(id), payload, { qos: 1 })));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    clearInterval(cutter);
    await waitFor(
      async () => new Set((await stored(id)).map((m) => m.samples[0]?.readings[0]?.value)).size === count,
      { timeoutMs: 30_000, intervalMs: 200, what: "every message" },
    );
    expect(rowsOf(await stored(id)).size).toBe(count);
    expect(proxy.accepted).toBeGreaterThan(4);
  });

  test("notices a network that swallows everything, and goes on when it is back", async () => {
    const proxy = await startProxy(broker.port);
    cleanups.push(() => proxy.close());
    const gateway = await openReady({ url: `mqtt://127.0.0.1:${proxy.port}`, keepaliveMs: 800 });
    const id = newDevice();
    const client = await publisher();
    proxy.pause();
    for (let seq = 0; seq < 100; seq++)
      await client.publishAsync(telemetry(id), `{"seq":${seq},"v":1}`, { qos: 1 });
    await waitFor(() => gateway.subscriber.ping().catch((error: Error) => /keepalive/.test(error.message)));
    proxy.resume();
    await waitFor(async () => rowsOf(await stored(id)).size === 100, { timeoutMs: 20_000 });
  });

  test("collects what came while it was away, also from connections it no longer opens", async () => {
    const id = newDevice();
    const clientId = newClientId();
    const client = await publisher();
    await (await openReady({ clientId, connections: 4 })).close();
    const publish = (from: number, to: number) =>
      Promise.all(
        Array.from({ length: to - from }, (_, i) =>
          client.publishAsync(telemetry(id), JSON.stringify({ seq: from + i, v: 1 }), { qos: 1 }),
        ),
      );
    await publish(0, 400);
    const lines: Line[] = [];
    await openReady({ clientId, connections: 1 }, lines);
    await waitFor(async () => (await stored(id)).length === 400);
    await waitFor(() => lines.filter((line) => line.msg.startsWith("emptying")).length === 3, {
      timeoutMs: 20_000,
    });
    await publish(400, 600);
    await waitFor(async () => (await stored(id)).length === 600);
  });

  test("stands by where another gateway has its client id, names it, and follows when that one has gone", async () => {
    const clientId = newClientId();
    const first = await openReady({ clientId, instance: "host-a/1/x" });
    const lines: Line[] = [];
    const second = await open({ clientId, instance: "host-b/2/y" }, lines);
    await waitFor(() => lines.some((line) => line.level === "error" && line.holder === "host-a/1/x"));
    await expect(second.subscriber.ping()).rejects.toThrow(/host-a\/1\/x/);
    await first.subscriber.ping();
    await first.close();
    await waitFor(() => second.subscriber.ping().then(() => true), { timeoutMs: 15_000 });
  });

  test("does not fight over a session with a gateway that it shares no lease with", async () => {
    const clientId = newClientId();
    const lines: Line[] = [];
    const options = { clientId, lease: false, connections: 2 };
    const first = await openReady({ ...options, instance: "host-a/1/x" }, lines);
    const second = await openReady({ ...options, instance: "host-b/2/y" });
    await waitFor(() => lines.filter((line) => line.msg.includes("taken the session over")).length === 2);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await expect(first.subscriber.ping()).rejects.toThrow(/gateway host-b\/2\/y uses the same client id/);
    await second.subscriber.ping();
    expect(second.subscriber.states().map(({ is }) => is)).toEqual(["up", "up"]);
    await second.close();
    await waitFor(() => first.subscriber.ping().then(() => true), { timeoutMs: 20_000 });
  });

  test("takes telemetry only with the device's key where the broker lets anybody in", async () => {
    await openReady({ trust: "api_key", apiKey: "right" });
    const id = newDevice();
    const client = await publisher();
    const send = (payload: string, topic = telemetry(id)) => client.publishAsync(topic, payload, { qos: 1 });
    await send('{"t":1,"api_key":"right"}');
    await send('{"t":2,"api_key":"wrong"}');
    await send('{"t":3}');
    await send('{"t":4,"x":"api_key"}');
    await send('{"t":5,"data":{"api_key":"right"}}');
    await send("offline", `iotflow/lwt/devices/${id}`);
    const refused = async () =>
      (await textsOf(redis.url, "rejected"))
        .map((text) => JSON.parse(text) as { topic?: string; reason: string; payload: string })
        .filter((rejected) => rejected.topic === telemetry(id));
    await waitFor(async () => (await stored(id)).length === 2 && (await refused()).length === 4);
    expect((await refused()).map(({ reason }) => reason).sort()).toEqual([
      "bad_api_key",
      "not_authorised",
      "not_authorised",
      "not_authorised",
    ]);
    expect(JSON.stringify(await stored(id))).not.toContain("right");
  });

  test("raises an alarm when the broker says that it dropped messages", async () => {
    const small = await startMosquitto({ config: "max_queued_messages 10\nsys_interval 1" });
    cleanups.push(() => small.stop());
    const lines: Line[] = [];
    await openReady({ url: small.url }, lines);
    const absent = await connectClient(small.url, { clientId: "absent", clean: false });
    await absent.subscribeAsync("x", { qos: 1 });
    await absent.endAsync(true);
    const client = await publisher(small.url);
    for (let i = 0; i < 300; i++) await client.publishAsync("x", "y", { qos: 1 });
    const alarm = await waitFor(() => lines.find((line) => line.msg.includes("dropped messages")));
    expect(alarm.level).toBe("error");
  });

  test("notices when the broker has forgotten its session", async () => {
    const forgetful = await startMosquitto();
    cleanups.push(() => forgetful.stop());
    const lines: Line[] = [];
    await openReady({ url: forgetful.url }, lines);
    await forgetful.kill("SIGKILL");
    await forgetful.restart();
    await waitFor(() => lines.some((line) => line.msg.includes("lost our session")), { timeoutMs: 20_000 });
  });

  test("speaks TLS with its own authority, websockets, and says what is wrong otherwise", async () => {
    const production = await startProductionBroker(["sluice-gateway"]);
    cleanups.push(() => production.stop());
    const { tls, ws, gateway: plain } = production.ports;
    const urls = [
      { url: urlFor("sluice-gateway", tls, "mqtts"), ca: production.ca, connections: 1 },
      { url: urlFor("sluice-gateway", ws, "ws"), connections: 1 },
      { url: urlFor("sluice-gateway", plain) },
    ];
    for (const options of urls) await (await openReady(options)).close();
    const untrusted = await open({ url: urlFor("sluice-gateway", tls, "mqtts") });
    await waitFor(() =>
      untrusted.subscriber.ping().catch((error: Error) => /self.signed/i.test(error.message)),
    );
    const stranger = await open({ url: `mqtt://sluice-gateway:wrong@127.0.0.1:${plain}` });
    await waitFor(() =>
      stranger.subscriber.ping().catch((error: Error) => /not authorised/.test(error.message)),
    );
  });
});
