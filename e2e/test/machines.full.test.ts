import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";
import mqtt from "mqtt";

let sluice: Installation;
let db: Db;
beforeAll(async () => {
  sluice = await startInstallation({
    services: ["ingest-gateway", "stream-worker", "etl-scheduler", "api"],
    env: { ETL_ENABLED: "true" },
  });
  db = await openDb(sluice.urls().postgresUrl, { max: 2 });
});
afterAll(async () => {
  await db?.close();
  await sluice?.stop();
});

const DAY_MS = 86_400_000;
const dayMs = Math.floor(Date.now() / DAY_MS) * DAY_MS - 3 * DAY_MS;
const day = new Date(dayMs).toISOString().slice(0, 10);
const at = (hour: number) => dayMs + hour * 3_600_000;

/** What a machine says on a day: only what changed, null for off. */
const CHANGES: [hour: number, fields: Record<string, number | string | null>][] = [
  [
    6,
    {
      MACHINE_IN_OPERATION: 255,
      MACHINE_EMERGENCY: 0,
      PROG_STATUS: 12,
      SPINDLE_LOAD_1: 50,
      TEMPERATURA_BASE: 2150,
    },
  ],
  [9, { MACHINE_IN_OPERATION: 0, MACHINE_EMERGENCY: 255, ALARMS: '[["3000", "Emergency stop", "", "", 0]]' }],
  [10, { MACHINE_IN_OPERATION: 255, MACHINE_EMERGENCY: 0, ALARMS: "[]" }],
  [14, { MACHINE_IN_OPERATION: null, PROG_STATUS: null, SPINDLE_LOAD_1: null, TEMPERATURA_BASE: null }],
  [54, { MACHINE_IN_OPERATION: 255 }],
];

test("a machine that logs over MQTT is aggregated by all five jobs, and asked for over HTTP", async () => {
  const { username, password } = await sluice.createFleet("lathe", ["esp32_lathe"]);
  const { mqttUrl, httpUrl } = (await sluice.status()) ?? { mqttUrl: "", httpUrl: "" };
  const client = await mqtt.connectAsync(mqttUrl, { username, password, clientId: "esp32_lathe" });
  for (const [hour, fields] of CHANGES)
    await client.publishAsync(
      "iotflow/devices/esp32_lathe/telemetry",
      JSON.stringify({ ts: at(hour), ...fields }),
      { qos: 1 },
    );
  await client.endAsync();
  const stored = async () =>
    (await db.query<{ n: number }>("SELECT count(*) AS n FROM measurement"))[0]?.n === 14;
  await waitFor(stored, { timeoutMs: 30_000, what: "the log to be stored" });
  expect(await sluice.sluice("machines", "put", "lathe", "--device", "esp32_lathe")).toContain(
    "from device esp32_lathe",
  );
  const out = await sluice.sluice("etl", "run", "etl_daily_runner");
  expect(out.match(/-lathe: /g)).toHaveLength(5);
  expect(await sluice.sluice("etl", "run", "etl_agg_energy_daily")).toContain(" 0 inserted or changed");

  const key = JSON.parse(await sluice.sluice("keys", "add", "reader", "--scope", "read", "--json")) as {
    key: string;
  };
  const get = async (path: string) =>
    (await fetch(`${httpUrl}/api/v1/${path}machine_id=lathe`, { headers: { "x-api-key": key.key } })).json();
  expect(await get(`machine_util?target_date=${day}&`)).toMatchObject([
    { dt: day, state_running: 7, state_planned_down: 16, state_unplanned_down: 1 },
  ]);
  expect(await get(`machine_program?target_date=${day}&`)).toEqual([
    { dt: day, program: 12, duration_seconds: 28_800 },
  ]);
  expect(await get(`alerts_daily_count?target_date=${day}&`)).toMatchObject([
    { alert_type: "emergency", amount: 1 },
  ]);
  expect(await get(`energy_consumption?target_date=${day}&`)).toHaveLength(8);
  expect(await get(`temperature?target_date=${day}&sensor_name=TEMPERATURA_BASE&`)).toHaveLength(8);
  expect(await get("data_status?")).toMatchObject({ first_date: day, utilization_records: 3 });
  const range = `start=${new Date(at(0)).toISOString()}&end=${new Date(at(24)).toISOString()}`;
  expect(await get(`machine_changes?${range}&`)).toHaveLength(4);
});
