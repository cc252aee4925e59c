import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { encodeMessage, streamKey } from "@sluice/shared-types";
import { waitFor } from "@sluice/testkit";
import { WebSocket } from "ws";
import { useApi } from "./use-api.ts";

const api = useApi();
const sockets: WebSocket[] = [];
const NOW_MS = Date.now();

beforeAll(async () => {
  // both register themselves as CAN nodes do: their places come from the node's number
  await api.db.execute("INSERT INTO iot.devices (device_code) VALUES ('can-node-1'), ('can-node-2')");
  await api.db.execute(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type, calibration_offset)
     SELECT d.id, f, 'number', CASE f WHEN 'co2_b' THEN 10 ELSE 0 END
       FROM iot.devices d, unnest(ARRAY['dry_bulb_b', 'co2_b']) f WHERE d.device_code = 'can-node-1'`,
  );
  await api.db.execute(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type)
     SELECT id, 'dry_bulb_f', 'number' FROM iot.devices WHERE device_code = 'can-node-2'`,
  );
  await api.db.execute(
    `INSERT INTO measurement (time, sensor_id, value)
     SELECT $1::timestamptz - n * INTERVAL '1 minute', id, 400 + n FROM iot.sensors, generate_series(1, 5) n
      WHERE sensor_code = 'co2_b'`,
    [new Date(NOW_MS)],
  );
  await api.keyValue.remember("sensor:co2_b", "405", 60_000);
  await api.keyValue.remember("sensor:co2_b:ts", String(NOW_MS), 60_000);
});
afterAll(() => {
  for (const socket of sockets) socket.terminate();
});

const get = (path: string, key = api.keys.read) => api.call("GET", path, { key });

test("live values by location and cluster come from Redis, calibrated; what is not there is stale", async () => {
  const { json } = await get("/api/live");
  expect(json.locations["Flower Room"]).toEqual({
    back: {
      co2_b: { value: 415, unit: "ppm", time: new Date(NOW_MS).toISOString(), stale: false },
      dry_bulb_b: { value: null, unit: "°C", time: null, stale: true },
    },
    front: { dry_bulb_f: { value: null, unit: "°C", time: null, stale: true } },
  });
  expect((await get("/api/sensors/live/all")).json).toEqual(json);
  expect((await get("/api/live/back/Flower%20Room")).json.sensors).toEqual(
    json.locations["Flower Room"].back,
  );
  expect((await get("/api/sensors/Flower%20Room/back/live")).json).toEqual(
    (await get("/api/live/back/Flower%20Room")).json,
  );
  expect((await get("/api/live/front")).json.locations).toEqual({
    "Flower Room": { front: json.locations["Flower Room"].front },
  });
  expect((await get("/api/live/attic")).status).toBe(404);
  expect((await get("/api/live", "")).status).toBe(401);
});

test("history and statistics are of one place, calibrated", async () => {
  const { json } = await get("/api/sensors/Flower%20Room/back");
  expect(json.sensors.co2_b).toMatchObject({ unit: "ppm", resolution: "raw" });
  expect(json.sensors.co2_b.points.map(({ value }: { value: number }) => value)).toEqual([
    415, 414, 413, 412, 411,
  ]);
  const statistics = (await get("/api/statistics/co2/Flower%20Room/back")).json;
  expect(statistics.sensors.co2_b).toMatchObject({ count: 5, min: 411, max: 415, avg: 413 });
  expect(statistics.sensors.co2_b.std_dev).toBeCloseTo(Math.sqrt(2.5), 12);
  expect((await get("/api/statistics/co2/Flower%20Room/front")).status).toBe(404);
  expect((await get("/api/sensors/Flower%20Room/back?from=2020-01-01")).status).toBe(400);
});

test("the configuration names locations, clusters, sensors and the nodes of the frame table", async () => {
  const { json } = await get("/api/config");
  expect(json.can_nodes).toHaveLength(5);
  expect(json.locations.find(({ name }: { name: string }) => name === "Flower Room").clusters).toEqual([
    "back",
    "front",
  ]);
  expect((await get("/api/config/locations")).json.locations).toContainEqual({
    name: "Flower Room",
    clusters: ["back", "front"],
  });
});

test("/ws tells what is live, then every reading of its location as it is accepted; not without a key", async () => {
  const open = (path: string, key?: string) => {
    const headers = key === undefined ? {} : { "x-api-key": key };
    const socket = new WebSocket(`${api.url.replace("http", "ws")}${path}`, { headers });
    sockets.push(socket);
    return socket;
  };
  const refused = open("/ws");
  const [error] = (await once(refused, "error")) as [Error];
  expect(error.message).toContain("401");
  const [code] = (await once(open("/ws/Attic", api.keys.read), "close")) as [number];
  expect(code).toBe(1008);

  const heard: { type: string; sensor?: string; value?: number }[] = [];
  open("/ws/Flower%20Room", api.keys.read).on("message", (data) => heard.push(JSON.parse(String(data))));
  await waitFor(() => heard[0]?.type === "live", { timeoutMs: 20_000 });
  const message = (device: string, field: string) =>
    encodeMessage(
      {
        device,
        kind: "telemetry",
        type: "SCD30",
        source: "can",
        receivedUs: NOW_MS * 1000,
        timesUs: [NOW_MS * 1000],
        clock: "device",
      },
      JSON.stringify({ [field]: 500 }),
    );
  await waitFor(
    async () => {
      await api.bus.publish(streamKey("telemetry"), [
        message("esp32_001", "co2_b"),
        message("can-node-1", "co2_b"),
      ]);
      return heard.length > 1;
    },
    { timeoutMs: 20_000, intervalMs: 500, what: "a reading" },
  );
  expect(heard[1]).toEqual({
    type: "reading",
    location: "Flower Room",
    cluster: "back",
    sensor: "co2_b",
    value: 510,
    unit: "ppm",
    time: new Date(NOW_MS).toISOString(),
  });
});
