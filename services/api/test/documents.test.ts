import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";

interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
  json: any;
}

let installation: Installation;
let url = "";
let adminKey = "";
let key = "";

beforeAll(async () => {
  installation = await startInstallation();
  url = (await installation.untilReady()).httpUrl;
  adminKey = (await installation.sluice("keys", "add", "tests", "--scope", "admin")).trim();
  const device = await installation.sluice("devices", "add", "esp32_007", "--type", "esp32", "--json");
  key = JSON.parse(device).apiKey;
});
afterAll(() => installation?.stop(), 60_000);

async function call(line: string, body?: unknown, apiKey: string | undefined = key): Promise<Answer> {
  const [method = "", path = ""] = line.split(" ");
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(apiKey === "" || apiKey === undefined ? {} : { "x-api-key": apiKey }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    json: text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : text,
  };
}

describe("the calls of the connectivity document, as it writes them", () => {
  test("GET /api/v1/influxdb/health", async () => {
    const { status, json } = await call("GET /api/v1/influxdb/health", undefined, "");
    expect(status).toBe(200);
    expect(json).toMatchObject({ influxdb: { status: "pass", message: "OK" }, connected: true });
    expect(typeof json.influxdb.version).toBe("string");
  });

  test("POST /api/v1/influxdb/telemetry, then data and latest, then DELETE", async () => {
    const timestamp = new Date(Date.now() - 60_000).toISOString();
    const point = {
      device_id: "esp32_007",
      measurement: "temperature",
      fields: { value: 23.5, humidity: 45.0 },
      tags: { location: "office", sensor_type: "dht22" },
      timestamp,
    };
    expect((await call("POST /api/v1/influxdb/telemetry", point)).status).toBe(201);
    const data = "GET /api/v1/influxdb/device/esp32_007/data?start=-1h&stop=now()&measurement=temperature";
    const found = await waitFor(async () => {
      const answer = await call(data);
      return answer.json.count === 2 ? answer.json : undefined;
    });
    expect(found).toMatchObject({
      device_id: "esp32_007",
      measurement: "temperature",
      start_time: "-1h",
      stop_time: "now()",
      count: 2,
    });
    expect(found.data_points).toContainEqual(
      expect.objectContaining({
        time: timestamp,
        measurement: "temperature",
        device_id: "esp32_007",
        field: "value",
        value: 23.5,
        location: "office",
      }),
    );
    const latest = await call("GET /api/v1/influxdb/device/esp32_007/latest?measurement=temperature");
    expect(latest.json).toMatchObject({ device_id: "esp32_007", latest_data: { value: 23.5, humidity: 45 } });
    const hour = `start=${new Date(Date.now() - 3_600_000).toISOString()}&stop=${new Date().toISOString()}`;
    const gone = await call(`DELETE /api/v1/influxdb/device/esp32_007/data?${hour}`);
    expect([gone.status, gone.json.deleted]).toEqual([200, 2]);
    expect((await call(data)).json.count).toBe(0);
    expect((await call("GET /api/v1/influxdb/device/esp32_007/latest?measurement=temperature")).status).toBe(
      404,
    );
  });

  test("POST /api/v1/influxdb/telemetry/batch is all or nothing", async () => {
    const good = {
      device_id: "esp32_007",
      measurement: "batch",
      fields: { value: 1 },
      tags: { location: "office" },
    };
    const { status, json } = await call("POST /api/v1/influxdb/telemetry/batch", {
      points: [good, { device_id: "esp32_007", measurement: "batch", fields: { value: [1] } }],
    });
    expect([status, json.code]).toEqual([400, "invalid"]);
    expect((await call("POST /api/v1/influxdb/telemetry/batch", { points: [good] })).status).toBe(201);
    await waitFor(async () => {
      const { json } = await call("GET /api/v1/influxdb/device/esp32_007/data?measurement=batch");
      return json.count === 1;
    });
  });

  test("POST /api/v1/devices/telemetry is stored, charted and shown as the newest", async () => {
    const body = {
      data: { temperature: 24.5, humidity: 60.0, battery_level: 85.0 },
      type: "environmental",
      metadata: { location: "sensor_room_1" },
    };
    expect((await call("POST /api/v1/devices/telemetry", body)).status).toBe(201);
    const series = await waitFor(async () => {
      const { status, json } = await call("GET /api/v1/series?sensor=esp32_007/battery_level");
      return status === 200 && json.count === 1 ? json : undefined;
    });
    expect(series.points[0].value).toBe(85);
    const own = await call("GET /api/v1/devices/telemetry?limit=3");
    expect([own.status, own.json.count]).toEqual([200, 3]);
    expect((await call("GET /api/v1/telemetry/esp32_007/latest")).json.latest_data).toMatchObject({
      temperature: 24.5,
    });
    const mean = await call(
      "GET /api/v1/telemetry/esp32_007/aggregated?field=battery_level&aggregation=mean&window=1h",
    );
    expect(mean.json).toMatchObject({
      field: "battery_level",
      aggregation: "mean",
      count: 1,
      data: [{ value: 85 }],
    });
    expect((await call("GET /api/v1/devices/esp32_007/latest")).json.readings.length).toBeGreaterThan(2);
  });

  test("a value that would leave its place in a query is only a value", async () => {
    const evil = encodeURIComponent('temperature" WHERE 1=1; DROP MEASUREMENT environmental --');
    expect((await call(`GET /api/v1/influxdb/device/esp32_007/data?measurement=${evil}`)).json.count).toBe(0);
    const flux = encodeURIComponent('-1h) |> drop(columns: ["x"]');
    expect((await call(`GET /api/v1/influxdb/device/esp32_007/data?start=${flux}`)).status).toBe(400);
    const { json } = await call("GET /api/v1/influxdb/stats", undefined, adminKey);
    expect(json.measurements).toContain("environmental");
  });

  test("devices register, beat, and say what they are", async () => {
    const body = { name: "esp32_new", device_type: "esp32", user_id: 1 };
    const made = await call("POST /api/v1/devices/register", body, adminKey);
    expect([made.status, typeof made.json.api_key]).toEqual([201, "string"]);
    expect((await call("POST /api/v1/devices/register", body, adminKey)).status).toBe(409);
    expect((await call("POST /api/v1/devices/register", {}, adminKey)).status).toBe(400);
    const own = made.json.api_key as string;
    expect((await call("POST /api/v1/devices/heartbeat", undefined, own)).status).toBe(200);
    await waitFor(
      async () => (await call("GET /api/v1/devices/status", undefined, own)).json.device.is_online === true,
    );
    expect(
      (await call("GET /api/v1/admin/stats", undefined, adminKey)).json.device_stats.total,
    ).toBeGreaterThan(1);
    expect((await call("GET /api/v1/mqtt/topics/device/esp32_007")).status).toBe(200);
    expect((await call("POST /api/v1/mqtt/telemetry/esp32_007", { data: { x: 1 } })).status).toBe(201);
    expect((await call("POST /api/v1/mqtt/telemetry/esp32_new", { data: { x: 1 } })).status).toBe(403);
  });
});

describe("the calls of the other documents", () => {
  test("POST /api/v1/measurement replaces what is stored", async () => {
    const { json } = await call("GET /api/v1/sensors?device=esp32_007", undefined, adminKey);
    const sensor = json.sensors.find(({ field }: { field: string }) => field === "battery_level").id;
    const before = await call(`GET /api/v1/measurement/sensor/${sensor}?limit=10`);
    const { time } = before.json[0];
    const made = await call("POST /api/v1/measurement", { sensor_id: sensor, value: 80, time }, adminKey);
    expect(made.status).toBe(201);
    expect(made.json).toMatchObject({ time, sensor_id: sensor, value: 80, status: "ok" });
    const after = await call(`GET /api/v1/measurement/sensor/${sensor}`);
    expect(after.json).toEqual([{ time, sensor_id: sensor, value: 80, status: "ok" }]);
    expect((await call("POST /api/v1/measurement", { sensor_id: 999_999, value: 1 }, adminKey)).status).toBe(
      404,
    );
    expect((await call("POST /api/v1/measurement", { sensor_id: sensor }, adminKey)).status).toBe(422);
    expect(
      (await call("POST /api/v1/measurement", { sensor_id: sensor, value: 1, time: "2019-01-01" }, adminKey))
        .status,
    ).toBe(422);
    expect((await call(`GET /api/v1/measurement/sensor/${sensor}?limit=1001`)).status).toBe(400);
  });

  test("POST /api/data, GET /api/data/latest, /api/etl/status and /api/etl/run", async () => {
    const data = {
      temperature: 22.5,
      humidity: 55,
      ph: 6.1,
      ec: 1.4,
      water_level: 80,
      water_temp: 20.1,
      light: 12000,
    };
    const saved = await call("POST /api/data", data);
    expect([saved.status, saved.json.status]).toEqual([201, "saved"]);
    await waitFor(async () => (await call("GET /api/data/latest?sensor_id=esp32_007")).json.data?.ph === 6.1);
    const status = await call("GET /api/etl/status", undefined, "");
    expect(status.json).toMatchObject({ initialized: true, influx_connected: true, pg_connected: true });
    expect(status.json.row_counts).toEqual({
      hourly_rows: expect.any(Number),
      daily_rows: expect.any(Number),
    });
    expect((await call("POST /api/etl/run", { command: "full" }, "")).status).toBe(401);
    const dry = await call("POST /api/etl/run", { command: "backfill", days: 14, dry_run: true }, adminKey);
    expect([dry.status, dry.json.status]).toEqual([200, "completed"]);
    const run = await call("POST /api/etl/run", { command: "hourly" }, adminKey);
    expect(run.json).toMatchObject({ status: "completed", command: "hourly" });
    const later = await call("POST /api/etl/run", { command: "full", async: true }, adminKey);
    expect([later.status, later.json]).toEqual([
      202,
      { status: "accepted", command: "full", job_id: expect.any(String) },
    ]);
    await waitFor(
      async () => {
        const { jobs } = (await call("GET /api/v1/jobs?limit=500", undefined, adminKey)).json;
        const job = jobs.find(({ id }: { id: string }) => id === later.json.job_id);
        return job?.status === "completed";
      },
      { timeoutMs: 30_000, what: "the job to be done" },
    );
  });

  test("TRAP 9: an unknown command of /api/etl/run is refused and runs nothing", async () => {
    expect((await call("POST /api/etl/run", { command: "everything" }, adminKey)).status).toBe(400);
  });

  test("crops are planted and harvested", async () => {
    await installation.sluice("seed", "varieties").catch(() => installation.sluice("seed"));
    const body = { variety: "basil_genovese", zone_id: 1 };
    const made = await call("POST /api/crops", body, adminKey);
    expect([made.status, made.json.status]).toEqual([201, "active"]);
    const path = `/api/crops/${made.json.id}`;
    expect((await call(`POST ${path}/harvest`, { weight_kg: 2.5 }, adminKey)).json.status).toBe("harvested");
    expect((await call(`POST ${path}/harvest`, {}, adminKey)).status).toBe(404);
    expect((await call("GET /api/crops", undefined, adminKey)).json.crops).toHaveLength(1);
  });

  test("readings are answered 503 while no gateway runs, and 201 again once it is back", async () => {
    await installation.kill("ingest-gateway", "SIGKILL");
    const { status } = await call("POST /api/v1/devices/telemetry", { data: { x: 1 } });
    expect([201, 503]).toContain(status);
    await waitFor(
      async () => (await call("POST /api/v1/devices/telemetry", { data: { x: 2 } })).status === 201,
      { timeoutMs: 20_000 },
    );
  });
});
