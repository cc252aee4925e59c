import { afterAll, expect, test } from "@jest/globals";
import { type AlertNews, streamKey } from "@sluice/shared-types";
import { waitFor } from "@sluice/testkit";
import type { MqttClient } from "mqtt";
import { connectDevice, useGateway } from "./use-gateway.ts";

const it = useGateway();
let client: MqttClient | undefined;
afterAll(() => void client?.end(true));

test("what alert-worker raises is told on system/alerts; news of other kinds and nonsense are not", async () => {
  client = await connectDevice(it.mqttUrl, it.a, { clientId: "listens-for-alerts" });
  const heard: unknown[] = [];
  client.on("message", (_topic, payload) => void heard.push(JSON.parse(payload.toString())));
  await client.subscribeAsync("iotflow/system/alerts", { qos: 1 });
  const alert: AlertNews = {
    ...{
      key: "alert-1-raised-2-0-1",
      event: "raised",
      alert: 1,
      rule: "too warm",
      device: "a",
      sensor: "temperature",
    },
    ...{
      severity: "critical",
      preventive: false,
      status: "open",
      title: "too warm",
      message: "On a it is too warm.",
    },
    ...{
      value: 31,
      threshold: 30,
      escalationLevel: 0,
      triggeredAt: "2026-02-03T04:05:06.000Z",
      resolvedAt: null,
    },
  };
  await it.bus.publish(streamKey("commands"), [
    "nonsense",
    JSON.stringify({ devices: ["a"] }),
    JSON.stringify({ devices: [], alert: { ...alert, severity: "very" } }),
    JSON.stringify({ devices: [], alert }),
  ]);
  await waitFor(() => heard.length > 0, { timeoutMs: 20_000, what: "the alert" });
  expect(heard).toEqual([alert]);
});
