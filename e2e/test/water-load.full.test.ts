import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import {
  type BigQueryServer,
  type Installation,
  startBigQuery,
  startInstallation,
  waitFor,
} from "@sluice/testkit";
import { callApi } from "../src/call-api.ts";
import { listWaterHours } from "../src/water-hours.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const HOUR_MS = 3_600_000;

let installation: Installation;
let db: Db;
let folder: string;
let bigQuery: BigQueryServer;
let url = "";
let key = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice water "));
  installation = await startInstallation({
    services: ["stream-worker", "etl-scheduler", "ingest-gateway", "api"],
    env: { ETL_ENABLED: "true" },
  });
  url = (await installation.untilReady()).httpUrl;
  key = (await installation.sluice("keys", "add", "tests", "--scope", "write")).trim();
  db = await openDb(installation.urls().postgresUrl, { max: 2 });
  bigQuery = await startBigQuery("old.water_infrastructure.sensor_readings_ml", [
    ["2024-03-01T00:00:00Z", "BQ_1", "From BigQuery", 10, 4, 12, 100, 0.9],
    ["2024-03-01T00:30:00Z", "BQ_1", "From BigQuery", 12, 4, 12, 120, 0.9],
  ]);
});
afterAll(async () => {
  await bigQuery?.stop();
  await db?.close();
  await installation?.stop();
  await rm(folder, { recursive: true, force: true });
});

const call = (line: string, body?: object, apiKey = key) => callApi(url, line, apiKey, body);

/** Runs a command with variables of its own. */
async function sluice(env: Record<string, string>, ...args: string[]): Promise<string> {
  const options = { cwd: ROOT, env: { ...process.env, ...env }, maxBuffer: 1 << 26 };
  return (await run(join(ROOT, "sluice"), [...args, "--data-dir", installation.dataDir], options)).stdout;
}

const LOAD = [
  "initial-load",
  "--start-date",
  "2024-01-01",
  "--end-date",
  "2024-12-31",
  "--batch-size",
  "10000",
  "--json",
];
const hoursOf = (node: string) => listWaterHours(db, node);

describe("the initial load", () => {
  test("a raw export: two header rows, decimal commas, DATA and ORA; rows of the future are named and not taken", async () => {
    const file = join(folder, "selargius.csv");
    const next = new Date(Date.now() + 48 * HOUR_MS);
    const future = `${String(next.getUTCDate()).padStart(2, "0")}/${String(next.getUTCMonth() + 1).padStart(2, "0")}/${next.getUTCFullYear()}`;
    await writeFile(
      file,
      [
        "DATA;ORA;via nuova - portata;via nuova - pressione;totale",
        ";;L/s;bar;m3",
        "15/02/2024;10.00;1.020,5;4,2;1.000.100",
        "15/02/2024;10.30;1.020,5;4,1;1.000.200,25",
        "15/02/2024;11.00;1.020,5;4,1;1.000.300",
        `${future};00.00;5;4;7`,
      ].join("\r\n"),
    );
    const report = await sluice({}, ...LOAD, "--from-csv", file).catch(
      (error: { stdout: string }) => error.stdout,
    );
    expect(JSON.parse(report)).toMatchObject({
      rowsWithReadings: 3,
      rowsSkipped: { out_of_bounds: 1 },
      stored: 9,
      quarantined: 0,
    });
    expect(
      await db.query(
        "SELECT node_id, flow_rate, total_flow FROM water_infrastructure.sensor_readings WHERE timestamp = '2024-02-15 10:30Z' ORDER BY 1",
      ),
    ).toEqual([
      { node_id: "selargius", flow_rate: null, total_flow: 1_000_200.25 },
      { node_id: "via-nuova", flow_rate: 1020.5, total_flow: null },
    ]);
    const [hour] = await hoursOf("via-nuova");
    expect(hour?.volume).toBeCloseTo(3673.8, 3);
  });

  test("BigQuery, as the document's command has it; check-bigquery says what is there; twice stores once", async () => {
    const env = {
      GOOGLE_APPLICATION_CREDENTIALS: bigQuery.credentialsPath,
      BIGQUERY_PROJECT_ID: "old",
      BIGQUERY_ENDPOINT: bigQuery.url,
    };
    const check = await sluice(env, "check-bigquery");
    expect(check).toContain("Connected");
    expect(check).toContain("2 rows of 1 nodes");
    expect(JSON.parse(await sluice(env, ...LOAD))).toMatchObject({ stored: 10, duplicate: 0 });
    expect(JSON.parse(await sluice(env, ...LOAD))).toMatchObject({ stored: 0, duplicate: 10 });
    expect(await hoursOf("BQ_1")).toMatchObject([{ flow: 11 }, expect.anything()].slice(0, 1));
  });

  test("PostgreSQL: a table of readings without a key, page by page", async () => {
    await db.execute(
      `CREATE TABLE public.old_readings AS SELECT t AS timestamp, 'PG_' || n AS node_id, 5.5::numeric(10,2) AS flow_rate,
              3.3::numeric AS pressure, NULL::numeric AS temperature, 7::numeric AS total_flow, 0.8::numeric AS quality_score
         FROM generate_series('2024-04-01 00:00Z'::timestamptz, '2024-04-01 02:00Z', INTERVAL '30 minutes') t, generate_series(1, 3) n`,
    );
    const source = ["--from-postgres", installation.urls().postgresUrl, "--table", "public.old_readings"];
    const paged = LOAD.map((part) => (part === "10000" ? "2" : part));
    expect(JSON.parse(await sluice({}, ...paged, ...source))).toMatchObject({
      rowsWithReadings: 15,
      stored: 60,
    });
    expect((await hoursOf("PG_3")).map(({ flow }) => flow)).toEqual([5.5, 5.5, 5.5]);
  });
});

test.each(["hydroponics", "cea", "machines"])(
  "./sluice demo %s sends what its pack describes, and nothing of it is refused",
  async (name) => {
    const { devices, past, live } = JSON.parse(
      await sluice({}, "demo", name, "--history", "2", "--seconds", "2", "--json"),
    );
    expect(past).toBeGreaterThan(0); // machines are off at weekends, and send changes only
    expect(live).toMatchObject({ unacknowledged: 0 });
    const typed = () =>
      db.query(
        `SELECT DISTINCT t.name FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id
         JOIN iot.sensor_types t ON t.id = s.sensor_type_id WHERE d.device_code = ANY ($1)`,
        [devices],
      );
    await waitFor(async () => (await typed()).length > 1, { what: "sensors with types", timeoutMs: 30_000 });
    expect(
      await db.query("SELECT reason, detail FROM quarantine WHERE device = ANY ($1)", [devices]),
    ).toEqual([]);
  },
  120_000,
);

test("a fifth domain is a folder: types, rules, a job and a demo without a line of code", async () => {
  const packs = join(folder, "packs");
  await cp(join(ROOT, "packs"), packs, { recursive: true });
  const own = join(packs, "cold-room");
  await mkdir(join(own, "dashboards"), { recursive: true });
  const write = (name: string, value: object) => writeFile(join(own, name), JSON.stringify(value));
  await write("pack.json", {
    name: "cold-room",
    title: "Cold rooms",
    description: "Doors and temperatures",
    deviceTypes: ["cold_room"],
    sensorTypes: [
      {
        name: "COLD_TEMPERATURE",
        fields: ["room_temperature"],
        unit: "°C",
        category: "environmental",
        min: -40,
        max: 20,
      },
      { name: "DOOR", fields: ["door_open"], unit: "", min: 0, max: 1 },
    ],
    jobs: [
      {
        name: "cold-chain",
        bucket: "1h",
        metrics: [
          { name: "warmest", field: "room_temperature", figure: "max", unit: "°C" },
          { name: "door_open_minutes", field: "door_open", figure: "integral", scale: 1 / 60, unit: "min" },
        ],
      },
    ],
    alertRules: [
      { name: "Cold room too warm", sensorType: "COLD_TEMPERATURE", condition: "above", threshold: 5 },
    ],
  });
  await write("simulator.json", {
    devices: [
      {
        id: "cold-{n}",
        count: 2,
        type: "cold_room",
        everySeconds: 60,
        fields: {
          room_temperature: { base: 3, swing: { amplitude: 1, peakHour: 15 }, noise: 0.2 },
          door_open: { choices: [{ value: 0, weight: 9 }, { value: 1 }], everyMinutes: 5 },
        },
      },
    ],
  });
  await write("dashboards/rooms.json", {
    name: "rooms",
    title: "Rooms",
    panels: [{ kind: "chart", title: "Temperature", fields: ["room_temperature"] }],
  });
  const env = { SLUICE_PACKS_DIR: packs };
  expect(await sluice(env, "packs", "enable", "cold-room")).toContain(
    "2 sensor types for 2 fields, 1 alert rules, 1 jobs",
  );
  const demo = JSON.parse(
    await sluice(env, "demo", "cold-room", "--history", "5", "--seconds", "0", "--json"),
  );
  expect(demo.past).toBe(1200);
  const rows = await waitFor(
    async () => {
      const plan = await call("POST /api/v1/jobs/backfill", { jobs: ["packs"], days: 1 });
      await call("POST /api/v1/jobs/backfill", { apply: plan.json.token });
      const found = await db.query<{ metric: string; n: number; least: number; most: number; unit: string }>(
        `SELECT metric, unit, count(*)::int AS n, min(value) AS least, max(value) AS most FROM bi.pack_metric
          WHERE job = 'cold-chain' GROUP BY 1, 2 ORDER BY 1`,
      );
      return (found[0]?.n ?? 0) >= 8 ? found : undefined;
    },
    { timeoutMs: 60_000, what: "metrics of the fifth domain", intervalMs: 1000 },
  );
  expect(rows?.map(({ metric, unit }) => [metric, unit])).toEqual([
    ["door_open_minutes", "min"],
    ["warmest", "°C"],
  ]);
  expect(rows?.[0]?.most).toBeLessThanOrEqual(60);
  expect(rows?.[1]?.least).toBeGreaterThan(1);
  expect(await sluice(env, "packs", "disable", "cold-room")).toContain("disabled");
});
