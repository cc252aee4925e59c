import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";
import { parse } from "yaml";
import { callApi } from "../src/call-api.ts";
import { listWaterHours } from "../src/water-hours.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

let installation: Installation;
let db: Db;
let url = "";
let key = "";

beforeAll(async () => {
  installation = await startInstallation({
    services: ["stream-worker", "etl-scheduler", "ingest-gateway", "api"],
    env: { ETL_ENABLED: "true" },
  });
  url = (await installation.untilReady()).httpUrl;
  key = (await installation.sluice("keys", "add", "tests", "--scope", "write")).trim();
  db = await openDb(installation.urls().postgresUrl, { max: 2 });
});
afterAll(async () => {
  await db?.close();
  await installation?.stop();
});

const call = (line: string, body?: object, apiKey = key) => callApi(url, line, apiKey, body);

const hoursOf = (node: string) => listWaterHours(db, node);

describe("the demo of the water network", () => {
  test("./sluice demo water enables the pack, sends the past and then live, and the cycle makes figures of it", async () => {
    const { past, live } = JSON.parse(
      await installation.sluice("demo", "water", "--history", "4", "--seconds", "1", "--json"),
    );
    expect(past).toBeGreaterThan(10_000);
    expect(live.unacknowledged).toBe(0);
    const list = JSON.parse(await installation.sluice("packs", "list", "--json"));
    expect(list.packs.map(({ name }: { name: string }) => name)).toEqual([
      "cea",
      "hydroponics",
      "machines",
      "water-network",
    ]);
    expect(list.packs[3].enabledAt).not.toBeNull();
    await waitFor(
      async () => {
        await call("POST /api/v1/processing/trigger");
        return (await hoursOf("SOURCE_NORTH")).length >= 3;
      },
      { timeoutMs: 60_000, what: "figures of the demo", intervalMs: 1000 },
    );
  });

  test("sensors have the type, unit and range that the pack gives them, and there is a rule for pressures", async () => {
    const sensors = await db.query(
      `SELECT s.sensor_code AS field, s.unit, t.name AS type, t.expected_range_max::float8 AS max FROM iot.sensors s
         JOIN iot.devices d ON d.id = s.device_id JOIN iot.sensor_types t ON t.id = s.sensor_type_id
        WHERE d.device_code = 'DIST_N1' AND s.sensor_code IN ('flow_rate', 'temperature') ORDER BY 1`,
    );
    expect(sensors).toEqual([
      { field: "flow_rate", unit: "L/s", type: "FLOW_RATE", max: 10_000 },
      { field: "temperature", unit: "°C", type: "PIPE_TEMPERATURE", max: 50 },
    ]);
    expect(await db.query("SELECT severity FROM alert.rules WHERE sensor_type = 'PRESSURE_BAR'")).toEqual([
      { severity: "critical" },
    ]);
  });

  test("every endpoint of the document answers out of it", async () => {
    expect((await call("GET /api/v1/nodes", undefined, "")).status).toBe(401); // the document's api had no keys
    const nodes = (await call("GET /api/v1/nodes")).json;
    expect(nodes.count).toBe(7);
    expect(nodes.nodes).toContainEqual(
      expect.objectContaining({
        node_id: "DIST_N1",
        node_type: "distribution",
        zone: "north",
        upstream_node_id: "SOURCE_NORTH",
      }),
    );
    const metrics = (await call("GET /api/v1/nodes/DIST_N1/metrics?time_window=5min")).json;
    expect(metrics.latest).toMatchObject({
      node_id: "DIST_N1",
      time_window: "5min",
      data_completeness: expect.any(Number),
    });
    expect((await call("GET /api/v1/nodes/DIST_N1/history?hours=1&limit=5")).json.readings).toHaveLength(5);
    expect((await call("GET /api/v1/nodes/NOBODY/metrics")).status).toBe(404);
    expect((await call("GET /api/v1/nodes/NOBODY/history")).status).toBe(404);
    const network = (await call("GET /api/v1/network/metrics?time_range=24h")).json;
    expect(network).toMatchObject({
      active_nodes: 7,
      age_seconds: expect.any(Number),
      cached_at: expect.any(String),
    });
    const efficiency = (await call("GET /api/v1/network/efficiency")).json;
    expect(efficiency.latest.efficiency_percentage).toBeGreaterThan(50);
    expect(Object.keys(efficiency.latest.zone_metrics)).toEqual(["north", "south"]);
    expect(efficiency.definition).toContain("output volume / input volume");
    expect(
      Array.isArray((await call("GET /api/v1/anomalies?hours=24&severity=critical")).json.anomalies),
    ).toBe(true);
    const quality = (await call("GET /api/v1/quality/DIST_N1")).json;
    expect(quality.overall_quality_score).toBeGreaterThan(0.5);
    expect((await call("GET /api/v1/predictions/DIST_N1")).status).toBe(404);
    const summary = (await call("GET /api/v1/dashboard/summary")).json;
    expect(summary.nodes).toMatchObject({ total: 7, online: 7 });
    const put = await call("PUT /api/v1/nodes/DIST_N1", { name: "North 1", node_type: "delivery" });
    expect(put.json).toMatchObject({ node_name: "North 1", node_type: "delivery", zone: "north" });
    expect((await call("PUT /api/v1/nodes/DIST_N1", { upstream_node_id: "DIST_N1" })).status).toBe(400);
  });

  test("TRAP: of a node that is not known the quality is not 1.0 but not found", async () => {
    expect((await call("GET /api/v1/quality/NOBODY")).status).toBe(404);
  });

  test("the document's curl and jq lines work as they are written, with a key where they read or change", async () => {
    const curl = async (...args: string[]) => (await run("curl", ["-s", ...args])).stdout;
    const status = JSON.parse(await curl(`${url}/api/v1/status`)); // | jq '.processing_service'
    expect(status.processing_service).toMatchObject({
      status: "healthy",
      interval_minutes: 30,
      failed_windows: 0,
    });
    expect(status.processing_service.last_run.duration_seconds).toBeGreaterThan(0);
    expect(JSON.parse(await curl(`${url}/api/v1/models/status`))).toMatchObject({
      status: "none",
      count: 0,
      models: [],
    });
    const asKey = ["-H", `X-API-Key: ${key}`];
    expect(JSON.parse(await curl(...asKey, `${url}/api/v1/anomalies?hours=24`)).count).toBeGreaterThanOrEqual(
      0,
    );
    const triggered = JSON.parse(await curl(...asKey, "-X", "POST", `${url}/api/v1/processing/trigger`));
    expect(triggered.status).toMatch(/completed|running/);
  });

  test("the triggers of Airflow and Kubernetes make a request that the endpoint accepts", async () => {
    const dag = await readFile(join(ROOT, "deploy/airflow/sluice_processing.py"), "utf8");
    const [, endpoint] = /endpoint="([^"]+)"/.exec(dag) ?? [];
    const [, method] = /method="([^"]+)"/.exec(dag) ?? [];
    expect([200, 202]).toContain((await call(`${method} ${endpoint}`)).status);
    const manifest = parse(await readFile(join(ROOT, "deploy/k8s-processing/cronjob.yaml"), "utf8"));
    const [trigger] = manifest.spec.jobTemplate.spec.template.spec.containers;
    expect(manifest).toMatchObject({ kind: "CronJob", spec: { schedule: "*/30 * * * *" } });
    // as Kubernetes puts variables into a command
    const values: Record<string, string> = { SLUICE_URL: url, SLUICE_API_KEY: key };
    const [program, ...args] = trigger.command.map((part: string) =>
      part.replaceAll(/\$\((\w+)\)/g, (_, name: string) => values[name] ?? ""),
    );
    expect(JSON.parse((await run(program, args)).stdout).status).toMatch(/completed|running/);
  });
});
