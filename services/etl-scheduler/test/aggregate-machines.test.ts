import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { createEngine, createMachineStores } from "@sluice/etl";
import { usePostgres } from "@sluice/testkit";
import { aggregateMachines } from "../src/aggregate-machines.ts";

const postgres = usePostgres();
let db: Db;
const errors: string[] = [];
beforeAll(async () => {
  db = await openDb(postgres.url, { max: 3 });
  await db.query(`
    INSERT INTO iot.devices (device_code, device_type) VALUES ('cnc', 'machining_center');
    INSERT INTO iot.sensors (device_id, sensor_code, value_type) SELECT id, 'SPINDLE_LOAD_1', 'number' FROM iot.devices;
    INSERT INTO measurement (sensor_id, time, value) SELECT id, t, 50 FROM iot.sensors,
      generate_series(TIMESTAMPTZ '2026-03-02 08:00Z', '2026-03-02 09:00Z', INTERVAL '5 minutes') t`);
});
afterAll(() => db?.close());

const engine = () =>
  createEngine({
    db,
    log: { debug() {}, info() {}, warn() {}, error: (_fields, text) => void errors.push(text) },
    holder: "test",
    trigger: "scheduler",
  });

test("what is due of the machines is done", async () => {
  const stores = createMachineStores({});
  const results = await aggregateMachines(engine(), stores);
  expect(results.map(({ job, failed }) => [job, failed])).toEqual([
    ["etl-agg-utilization-cnc", []],
    ["etl-agg-energy-daily-cnc", []],
  ]);
  expect(await db.query("SELECT energy_kwh::float8 AS kwh FROM energy_consumption_hourly")).toEqual([
    { kwh: 18.5 },
  ]);
  expect(await db.query("SELECT state_running::float8 AS hours FROM agg_machine_activity_daily")).toEqual([
    { hours: 1 },
  ]);
});

test("a source that does not answer is said, and stops nothing", async () => {
  const stores = createMachineStores({ DB_PORT: 1, DB_NAME: "nothing" });
  expect(await aggregateMachines(engine(), stores)).toEqual([]);
  expect(errors).toEqual(["the logs of machines cannot be read now; the next time again"]);
});
