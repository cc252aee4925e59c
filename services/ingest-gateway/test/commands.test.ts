import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { announceCommands } from "@sluice/bus";
import {
  createCommand,
  createDevice,
  createFleetCommand,
  getCommand,
  putDeviceConfig,
  putFleetGroup,
} from "@sluice/db";
import { createMetrics, loadConfig } from "@sluice/service-kit";
import { useMosquitto, waitFor } from "@sluice/testkit";
import mqtt, { type MqttClient } from "mqtt";
import { Config } from "../src/config.ts";
import { type Gateway, openGateway } from "../src/gateway.ts";
import { connectDevice, PEPPER, useGateway } from "./use-gateway.ts";

interface Heard {
  topic: string;
  body: Record<string, unknown>;
}

describe("commands", () => {
  const it = useGateway();
  const mosquitto = useMosquitto();
  let second: Gateway;
  const clients: MqttClient[] = [];
  beforeAll(async () => {
    const { bus, keyValue, credentials, db } = it;
    const say = () => {};
    const log = { debug: say, info: say, warn: say, error: say };
    const config = loadConfig(Config, {
      REDIS_URL: "redis://unused",
      DATABASE_URL: db.url,
      SLUICE_PEPPER: PEPPER,
      SLUICE_MQTT_PORT: "0",
      MQTT_URL: mosquitto.url,
    });
    await createDevice(db, PEPPER, { id: "outer_1" });
    const metrics = createMetrics("ingest-gateway");
    second = await openGateway({ config, bus, keyValue, credentials, log, metrics });
  });
  afterAll(async () => {
    for (const client of clients) client.end(true);
    await second?.close();
  });
  const listen = async (device: typeof it.a, topics: string[], url = it.mqttUrl, qos: 0 | 1 = 1) => {
    const client = await connectDevice(url, device, { clientId: `test-${randomUUID()}` });
    clients.push(client);
    const heard: Heard[] = [];
    client.on(
      "message",
      (topic, payload) => void heard.push({ topic, body: JSON.parse(payload.toString()) }),
    );
    await client.subscribeAsync(topics, { qos });
    return { client, heard };
  };
  const send = async (device: string, more: object = {}) => {
    const command = await createCommand(it.db, {
      device,
      type: "led",
      payload: { on: true },
      source: "api",
      ...more,
    });
    await announceCommands(it.bus, { devices: [device] });
    return command;
  };
  const until = (id: number, status: string) =>
    waitFor(async () => (await getCommand(it.db, id)).status === status, { timeoutMs: 20_000, what: status });
  const mine = (id: string) => `iotflow/devices/${id}/commands/+`;

  test("a command reaches its device at the other gateway, once, and its acknowledgement is noted", async () => {
    const { heard, client } = await listen(
      it.a,
      [mine("esp32_001")],
      `mqtt://127.0.0.1:${second.ports.mqtt}`,
    );
    const command = await send("esp32_001");
    await until(command.id, "delivered");
    const body = { on: true, id: command.wireId };
    expect(heard).toEqual([{ topic: "iotflow/devices/esp32_001/commands/led", body }]);
    await client.endAsync();
  });

  test("one for an absent device waits for it, and a reconnect does not bring it again", async () => {
    const waiting = await send("esp32_001");
    const urgent = await send("esp32_001", { type: "stop", priority: 1 });
    const first = await listen(it.a, [mine("esp32_001")]);
    await until(waiting.id, "delivered");
    expect(first.heard.map(({ topic }) => topic.split("/").at(-1))).toEqual(["stop", "led"]);
    await first.client.endAsync();
    const again = await listen(it.a, [mine("esp32_001")]);
    const last = await send("esp32_001", { type: "last" });
    await until(last.id, "delivered");
    expect(again.heard.map(({ body }) => body.id)).toEqual([last.wireId]);
    expect((await getCommand(it.db, urgent.id)).status).toBe("delivered");
    await again.client.endAsync();
  });

  test("one that expired while its device was away never reaches it", async () => {
    const { id } = await send("esp32_002", { lifeMs: 1 });
    await until(id, "timeout");
    const { heard, client } = await listen(it.b, [mine("esp32_002")]);
    const next = await send("esp32_002");
    await until(next.id, "delivered");
    expect(heard.map(({ body }) => body.id)).toEqual([next.wireId]);
    await client.endAsync();
  });

  test("a device with two connections carries a command out once; at QoS 0 it stays sent", async () => {
    const one = await listen(it.b, [mine("esp32_002")], it.mqttUrl, 0);
    const two = await listen(it.b, [mine("esp32_002")], `mqtt://127.0.0.1:${second.ports.mqtt}`, 0);
    const { id } = await send("esp32_002");
    await waitFor(() => one.heard.length + two.heard.length === 1);
    expect((await getCommand(it.db, id)).status).toBe("sent");
    await Promise.all([one.client.endAsync(), two.client.endAsync()]);
  });

  test("no news from the bus is needed: the database is looked at", async () => {
    const { heard, client } = await listen(it.a, [mine("esp32_001")]);
    await until((await send("esp32_001")).id, "delivered");
    const quiet = await createCommand(it.db, {
      device: "esp32_001",
      type: "led",
      payload: {},
      source: "alert",
    });
    await until(quiet.id, "delivered");
    expect(heard).toHaveLength(2);
    await client.endAsync();
  });

  test("a fleet command reaches each member on the group's topic, or on its own where it listens to no other", async () => {
    await putFleetGroup(it.db, { name: "lamps", description: null, devices: ["esp32_001", "esp32_002"] });
    const one = await listen(it.a, ["iotflow/fleet/commands/lamps"]);
    const two = await listen(it.b, [mine("esp32_002")], `mqtt://127.0.0.1:${second.ports.mqtt}`);
    const fleet = { group: "lamps", type: "dim", payload: { to: 5 }, source: "api" as const };
    const parts = await createFleetCommand(it.db, fleet);
    await announceCommands(it.bus, { devices: parts.map(({ device }) => device) });
    for (const { id } of parts) await until(id, "delivered");
    const body = { to: 5, type: "dim", id: parts[0]?.wireId };
    expect(one.heard).toEqual([{ topic: "iotflow/fleet/commands/lamps", body }]);
    expect(two.heard).toEqual([{ topic: "iotflow/devices/esp32_002/commands/dim", body }]);
    await Promise.all([one.client.endAsync(), two.client.endAsync()]);
  });

  test("what a device shall be set to is sent when it is set, and whenever the device listens", async () => {
    const topic = "iotflow/devices/esp32_001/config";
    const before = await listen(it.a, [topic]);
    await putDeviceConfig(it.db, "esp32_001", { intervalS: 10, led: 1 }, { merge: false });
    await putDeviceConfig(it.db, "esp32_001", { led: null }, { merge: true });
    await announceCommands(it.bus, { devices: [], configured: ["esp32_001"] });
    const body = { version: 2, config: { intervalS: 10 } };
    await waitFor(() => before.heard.some((message) => message.body.version === 2));
    expect(before.heard.at(-1)).toEqual({ topic, body });
    await before.client.endAsync();
    const after = await listen(it.a, [topic]);
    await waitFor(() => after.heard.length > 0);
    expect(after.heard[0]).toEqual({ topic, body });
    await after.client.endAsync();
  });

  test("a device at another broker gets a command there once it was heard of, unretained, and its configuration kept", async () => {
    const topic = "iotflow/devices/outer_1/commands/led";
    const early = await send("outer_1");
    await putDeviceConfig(it.db, "outer_1", { led: 1 }, { merge: false });
    await announceCommands(it.bus, { devices: [], configured: ["outer_1"] });
    const at = async () => {
      const client = await mqtt.connectAsync(mosquitto.url, { reconnectPeriod: 0 });
      clients.push(client);
      const heard: Heard[] = [];
      client.on(
        "message",
        (where, payload) => void heard.push({ topic: where, body: JSON.parse(payload.toString()) }),
      );
      await client.subscribeAsync([mine("outer_1"), "iotflow/devices/outer_1/config"], { qos: 1 });
      return { client, heard };
    };
    const device = await at();
    await waitFor(() => device.heard.some(({ topic: where }) => where.endsWith("/config")), {
      timeoutMs: 20_000,
    });
    expect((await getCommand(it.db, early.id)).status).toBe("pending");
    await device.client.publishAsync("iotflow/devices/outer_1/telemetry", '{"t":1}', { qos: 1 });
    await until(early.id, "sent");
    await waitFor(() => device.heard.some(({ topic: where }) => where === topic));
    await device.client.endAsync();
    const later = await at();
    await waitFor(() => later.heard.length > 0, { timeoutMs: 20_000 });
    expect(later.heard.map(({ topic: where }) => where)).toEqual(["iotflow/devices/outer_1/config"]);
  });
});
