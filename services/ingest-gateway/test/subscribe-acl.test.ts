import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { waitFor } from "@sluice/testkit";
import type { MqttClient } from "mqtt";
import {
  connectClient,
  type ProductionBroker,
  startProductionBroker,
  urlFor,
} from "./production-mosquitto.ts";

const DEVICES = ["dev_a", "dev_b", "dev_c"] as const;
const WRITE = ["telemetry", "telemetry/air", "status/online", "commands/led/result"];
const READ = ["ack", "rejected", "config", "commands/led"];
const topicsOf = (id: string, names: readonly string[]) =>
  names.map((name) => `iotflow/devices/${id}/${name}`);
const SHARED = ["iotflow/system/health", "iotflow/fleet/commands/g1"];

let broker: ProductionBroker;
const clients: MqttClient[] = [];
const connect = async (user: string, options = {}) => {
  const client = await connectClient(urlFor(encodeURIComponent(user), broker.ports.device), options);
  clients.push(client);
  return client;
};
/** Everything a client gets, as `topic payload`. */
const collect = (client: MqttClient): string[] => {
  const got: string[] = [];
  client.on("message", (topic, payload) => got.push(`${topic} ${payload}`));
  return got;
};

beforeAll(async () => {
  broker = await startProductionBroker(["sluice-gateway", "observer", "+", "#", ...DEVICES]);
});
afterAll(async () => {
  for (const client of clients) client.end(true);
  await broker?.stop();
});

describe("the shipped Mosquitto configuration", () => {
  test("delivers what a device publishes on its own topics, and nothing it publishes on others'", async () => {
    const observer = await connect("observer", { clientId: "observer" });
    const got = collect(observer);
    await observer.subscribeAsync("#", { qos: 1 });
    const ids = [...DEVICES, "sluice-gateway"];
    const everywhere = [
      ...ids.flatMap((id) => [...topicsOf(id, [...WRITE, ...READ]), `iotflow/lwt/devices/${id}`]),
      ...SHARED,
      "$SYS/broker/uptime",
      "$CONTROL/dynamic-security/v1",
      "other/topic",
    ];
    for (const id of DEVICES) {
      const device = await connect(id);
      for (const topic of everywhere) await device.publishAsync(topic, id, { qos: 1 });
      await device.publishAsync(`iotflow/devices/${id}/telemetry/last`, id, { qos: 1 });
    }
    await waitFor(() => DEVICES.every((id) => got.includes(`iotflow/devices/${id}/telemetry/last ${id}`)));
    const own = DEVICES.flatMap((id) =>
      [...topicsOf(id, [...WRITE, "telemetry/last"]), `iotflow/lwt/devices/${id}`].map(
        (topic) => `${topic} ${id}`,
      ),
    );
    expect(got.filter((line) => !line.startsWith("$SYS")).sort()).toEqual(own.sort());
  });

  test("delivers to a device what is for it or for all, whatever it subscribes to", async () => {
    const observer = await connect("observer", { clientId: "observer2" });
    const inbox = new Map<string, string[]>();
    for (const id of DEVICES) {
      const device = await connect(id);
      inbox.set(id, collect(device));
      await device.subscribeAsync(["#", "$SYS/#", "$share/x/iotflow/#", `iotflow/devices/${id}/+`], {
        qos: 1,
      });
    }
    for (const id of DEVICES) {
      for (const topic of topicsOf(id, [...READ, ...WRITE]))
        await observer.publishAsync(topic, id, { qos: 1 });
    }
    for (const topic of SHARED) await observer.publishAsync(topic, "all", { qos: 1 });
    for (const id of DEVICES) await observer.publishAsync(`iotflow/devices/${id}/config`, "last", { qos: 1 });
    for (const id of DEVICES) {
      const got = inbox.get(id) ?? [];
      await waitFor(() => got.includes(`iotflow/devices/${id}/config last`));
      const wanted = [
        ...topicsOf(id, READ).map((topic) => `${topic} ${id}`),
        ...SHARED.map((topic) => `${topic} all`),
        `iotflow/devices/${id}/config last`,
      ];
      expect([...new Set(got)].sort()).toEqual(wanted.sort());
    }
  });

  test("gives a user named like a wildcard nothing", async () => {
    const observer = await connect("observer", { clientId: "observer3" });
    const got = collect(observer);
    await observer.subscribeAsync("iotflow/#", { qos: 1 });
    for (const name of ["+", "#"]) {
      const intruder = await connect(name).catch(() => undefined);
      for (const topic of topicsOf("dev_a", WRITE))
        await intruder?.publishAsync(topic, "intruder", { qos: 1 });
    }
    await (await connect("dev_a")).publishAsync("iotflow/devices/dev_a/telemetry/wild", "ok", { qos: 1 });
    await waitFor(() => got.includes("iotflow/devices/dev_a/telemetry/wild ok"));
    expect(got.filter((line) => line.endsWith("intruder"))).toEqual([]);
  });

  test("refuses a stranger, a wrong password and a missing client id on every listener", async () => {
    const { device, tls, ws, gateway } = broker.ports;
    const listeners: [string, object][] = [
      [`mqtt://127.0.0.1:${device}`, {}],
      [`mqtt://127.0.0.1:${gateway}`, {}],
      [`mqtts://127.0.0.1:${tls}`, { ca: broker.ca }],
      [`ws://127.0.0.1:${ws}`, {}],
    ];
    for (const [url, options] of listeners) {
      await expect(connectClient(url, options)).rejects.toThrow(/not authori[sz]ed/i);
      const named = url.replace("://", "://dev_a@");
      await expect(connectClient(named, options, "wrong")).rejects.toThrow(/not authori[sz]ed/i);
      clients.push(await connectClient(named, options));
    }
  });

  test("lets nobody take over another's session by its client id", async () => {
    const victim = await connect("dev_b", { clientId: "dev_b" });
    let closed = false;
    victim.once("close", () => {
      closed = true;
    });
    const thief = await connect("dev_c", { clientId: "dev_b" });
    await thief.publishAsync("iotflow/devices/dev_c/telemetry", "{}", { qos: 1 });
    await victim.publishAsync("iotflow/devices/dev_b/telemetry", "{}", { qos: 1 });
    expect(closed).toBe(false);
  });

  test("closes the connection of a packet over the limit", async () => {
    const device = await connect("dev_a");
    const closed = new Promise<void>((resolve) => device.once("close", () => resolve()));
    device.publish("iotflow/devices/dev_a/telemetry", Buffer.alloc(300_000), { qos: 0 });
    await closed;
  });
});
