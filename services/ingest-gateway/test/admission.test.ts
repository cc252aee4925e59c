import { expect, test } from "@jest/globals";
import { waitFor } from "@sluice/testkit";
import { connectDevice, useGateway } from "./use-gateway.ts";

const it = useGateway({ SLUICE_HIGH_WATER: "0.1" });
const FILLER_BYTES = 120_000_000;

const post = async () => {
  const response = await fetch(`${it.httpUrl}/api/v1/ingest`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": it.b.apiKey },
    body: JSON.stringify({ temperature: 1 }),
  });
  return { status: response.status, retryAfter: response.headers.get("retry-after") };
};

test("past the high-water mark PUBACK is withheld and HTTP is told 503; with room again both go on", async () => {
  const device = await connectDevice(it.mqttUrl, it.a);
  await device.publishAsync("iotflow/devices/esp32_001/telemetry", '{"v":0}', { qos: 1 });
  await it.keyValue.put("filler", "x".repeat(FILLER_BYTES));
  await waitFor(async () => (await post()).status === 503, { what: "a refusal" });
  expect(await post()).toEqual({ status: 503, retryAfter: "5" });

  const acked: number[] = [];
  const sending = [1, 2, 3].map((v) =>
    device
      .publishAsync("iotflow/devices/esp32_001/telemetry", `{"v":${v}}`, { qos: 1 })
      .then(() => void acked.push(v)),
  );
  await waitFor(
    async () =>
      (await it.metrics.expose()).text.includes('sluice_waiting_messages{service="ingest-gateway"} 3'),
    {
      what: "three messages to be held",
    },
  );
  expect(acked).toEqual([]);
  expect((await it.metrics.expose()).text).toMatch(/sluice_admission_open\{.*\} 0/);
  await it.keyValue.put("filler", "");
  await Promise.all(sending);
  expect(acked).toEqual([1, 2, 3]);
  await waitFor(async () => (await post()).status === 202);
  await device.endAsync();
});
