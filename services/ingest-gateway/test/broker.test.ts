import { describe, expect, test } from "@jest/globals";
import { waitFor } from "@sluice/testkit";
import { connectDevice, rejectedOf, storedOf, useGateway } from "./use-gateway.ts";

describe("the built-in broker", () => {
  const it = useGateway();

  test("acknowledges a QoS 1 publish that is then on the telemetry stream", async () => {
    const client = await connectDevice(it.mqttUrl, it.a);
    await client.publishAsync("iotflow/devices/esp32_001/telemetry/environmental", '{"temperature":21.5}', {
      qos: 1,
    });
    const [message] = await storedOf(it.bus);
    expect(message).toMatchObject({ device: "esp32_001", type: "environmental", source: "mqtt" });
    expect(message?.samples[0]?.readings).toEqual([{ field: "temperature", value: 21.5 }]);
    await client.endAsync();
  });

  test.each([0, 2] as const)("takes QoS %i as well", async (qos) => {
    const client = await connectDevice(it.mqttUrl, it.a);
    await client.publishAsync("iotflow/devices/esp32_001/telemetry", `{"q":${qos}}`, { qos });
    await waitFor(async () =>
      (await storedOf(it.bus)).some(
        (m) => m.samples[0]?.readings[0]?.field === "q" && m.samples[0].readings[0].value === qos,
      ),
    );
    await client.endAsync();
  });

  test("acknowledges a publish for another device's topic only after keeping the refusal", async () => {
    const client = await connectDevice(it.mqttUrl, it.a);
    await client.publishAsync("iotflow/devices/esp32_002/telemetry", '{"stolen":1}', { qos: 1 });
    const refused = (await rejectedOf(it.bus)).filter((r) => r.reason === "not_authorised");
    expect(refused).toHaveLength(1);
    expect(Buffer.from(refused[0]?.payload ?? "", "base64").toString()).toBe('{"stolen":1}');
    expect((await storedOf(it.bus)).some((m) => m.device === "esp32_002")).toBe(false);
    await client.endAsync();
  });

  test("tells a device that listens what became of a message with a sequence number", async () => {
    const client = await connectDevice(it.mqttUrl, it.a);
    const told: { topic: string; body: unknown }[] = [];
    client.on("message", (topic, payload) => void told.push({ topic, body: JSON.parse(payload.toString()) }));
    const granted = await client.subscribeAsync(
      ["iotflow/devices/esp32_001/ack", "iotflow/devices/esp32_001/rejected"],
      { qos: 1 },
    );
    expect(granted.map((g) => g.qos)).toEqual([1, 1]);
    await client.publishAsync("iotflow/devices/esp32_001/telemetry", '{"t":1,"boot":"b1","seq":7}', {
      qos: 1,
    });
    await client.publishAsync("iotflow/devices/esp32_001/telemetry", '{"t":[1],"seq":8}', { qos: 1 });
    await waitFor(() => told.length === 2);
    expect(told).toEqual([
      { topic: "iotflow/devices/esp32_001/ack", body: { boot: "b1", seq: 7, level: "accepted" } },
      {
        topic: "iotflow/devices/esp32_001/rejected",
        body: { seq: 8, level: "rejected", reason: "bad_value", detail: expect.any(String) },
      },
    ]);
    await client.endAsync();
  });

  test("gives a resend with a sequence number the time of its first arrival", async () => {
    const client = await connectDevice(it.mqttUrl, it.a);
    for (let i = 0; i < 2; i++) {
      await client.publishAsync("iotflow/devices/esp32_001/telemetry", '{"u":1,"boot":"b2","seq":1}', {
        qos: 1,
      });
    }
    const times = (await storedOf(it.bus)).filter((m) => m.boot === "b2").map((m) => m.samples[0]?.timeUs);
    expect(times).toHaveLength(2);
    expect(times[0]).toBe(times[1]);
    await client.endAsync();
  });

  test("gives messages without any identity increasing times of their own", async () => {
    const client = await connectDevice(it.mqttUrl, it.a);
    await Promise.all(
      Array.from({ length: 200 }, () =>
        client.publishAsync("iotflow/devices/esp32_001/telemetry/same", '{"v":1}', { qos: 1 }),
      ),
    );
    const times = (await storedOf(it.bus))
      .filter((m) => m.type === "same")
      .map((m) => m.samples[0]?.timeUs ?? 0);
    expect(new Set(times).size).toBe(200);
    await client.endAsync();
  });

  test("keeps a device out of another credential's client id, and does not disturb the one that has it", async () => {
    const first = await connectDevice(it.mqttUrl, it.a, { clientId: "shared-id" });
    let lost = false;
    first.on("close", () => {
      lost = true;
    });
    await expect(connectDevice(it.mqttUrl, it.b, { clientId: "shared-id" })).rejects.toThrow(
      /Identifier rejected/,
    );
    await first.publishAsync("iotflow/devices/esp32_001/telemetry", '{"still":1}', { qos: 1 });
    expect(lost).toBe(false);
    await first.endAsync();
  });

  test("lets the same credential take its client id over without publishing the old connection's will", async () => {
    const will = {
      topic: "iotflow/lwt/devices/esp32_001",
      payload: Buffer.from("offline"),
      qos: 1 as const,
      retain: true,
    };
    const first = await connectDevice(it.mqttUrl, it.a, { clientId: "again", will });
    const second = await connectDevice(it.mqttUrl, it.a, { clientId: "again", will });
    await waitFor(() => !first.connected);
    expect((await storedOf(it.bus)).some((m) => m.type === "offline")).toBe(false);
    second.stream.destroy();
    await waitFor(async () =>
      (await storedOf(it.bus)).some((m) => m.kind === "status" && m.type === "offline"),
    );
    await first.endAsync(true);
    await second.endAsync(true);
  });

  test("stores every message it acknowledged while another connection takes the client id over", async () => {
    const acked: number[] = [];
    let sent = 0;
    for (let round = 0; round < 5; round++) {
      const client = await connectDevice(it.mqttUrl, it.a, { clientId: "takeover" });
      for (let i = 0; i < 100; i++) {
        const n = sent++;
        client.publish("iotflow/devices/esp32_001/telemetry/taken", `{"n":${n}}`, { qos: 1 }, (error) => {
          if (!error) acked.push(n);
        });
      }
      if (round % 2 === 0) await waitFor(() => acked.some((n) => n >= round * 100));
    }
    const last = await connectDevice(it.mqttUrl, it.a, { clientId: "takeover" });
    await last.endAsync();
    const stored = (await storedOf(it.bus)).filter((m) => m.type === "taken");
    const numbers = new Set(stored.map((m) => m.samples[0]?.readings[0]?.value));
    expect(acked.filter((n) => !numbers.has(n))).toEqual([]);
    expect(acked.length).toBeGreaterThan(0);
  });

  test("publishes the time to those who ask", async () => {
    const client = await connectDevice(it.mqttUrl, it.a);
    const told: string[] = [];
    client.on("message", (_topic, payload) => void told.push(payload.toString()));
    await client.subscribeAsync("iotflow/system/time");
    await waitFor(() => told.length === 1);
    expect(Math.abs(JSON.parse(told[0] ?? "{}").epochMs - Date.now())).toBeLessThan(5000);
    await client.endAsync();
  });

  test("refuses subscriptions to anything but a device's own", async () => {
    const client = await connectDevice(it.mqttUrl, it.a);
    const filters = [
      "#",
      "+/+/+",
      "$SYS/#",
      "$share/g/iotflow/#",
      "iotflow/devices/esp32_002/ack",
      "iotflow/devices/+/ack",
    ];
    for (const filter of filters) {
      await expect(client.subscribeAsync(filter)).rejects.toThrow();
    }
    expect((await client.subscribeAsync("iotflow/devices/esp32_001/commands/+"))[0]?.qos).toBe(0);
    await client.endAsync();
  });
});
