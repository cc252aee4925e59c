import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, listMachines, openDb, putMachine, putMachineRole } from "@sluice/db";
import {
  createMachineStores,
  listLoggedMachines,
  MACHINE_SCRIPTS,
  type MachineStores,
  runMachines,
} from "@sluice/etl";
import { getBinary } from "@sluice/servers";
import { usePostgres } from "@sluice/testkit";
import { createQuietEngine } from "./quiet-engine.ts";
import { ms, settingsOf, useMachineSource } from "./use-machine-log.ts";

const source = useMachineSource();
const aggregation = usePostgres({ empty: true });
let target: Db;
beforeAll(async () => {
  target = await openDb(aggregation.url, { max: 2 });
});
afterAll(() => target?.close());

async function runAll(stores: MachineStores) {
  const engine = createQuietEngine(source.db, ms("2026-03-10 00:00"));
  const machines = await listLoggedMachines(source.db, stores);
  const results = await runMachines(engine, { scripts: MACHINE_SCRIPTS, machines, extent: "everything" });
  for (const { failed } of results) expect(failed).toEqual([]);
  return results;
}

const SCRIPT = fileURLToPath(new URL("../../../deploy/sql/create_agg_database.sql", import.meta.url));

test("psql machine_monitoring_agg -f create_agg_database.sql: the script stands alone and can be run again", async () => {
  const psql = getBinary("psql", "postgresql-client");
  for (let time = 0; time < 2; time++)
    await promisify(execFile)(psql, [aggregation.url, "-q", "-v", "ON_ERROR_STOP=1", "-f", SCRIPT]);
  const tables = await target.query<{ name: string }>(
    "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') ORDER BY 1",
  );
  expect(tables.map(({ name }) => name)).toEqual([
    "agg_job_day",
    "agg_machine_activity_daily",
    "agg_sensor_stats",
    "alerts_daily_count",
    "alerts_detail",
    "energy_consumption_hourly",
    "machine_program_data",
    "v_data_status",
  ]);
});

test("TRAP: generated day and index on the date work, and the document's rows need no machine", async () => {
  await target.query("BEGIN; SET TIME ZONE 'Asia/Tokyo'; COMMIT");
  await target.execute(
    "INSERT INTO agg_machine_activity_daily (dt, state_running, state_planned_down) VALUES ('2022-02-23', 6, 18)",
  );
  await target.execute("INSERT INTO alerts_detail (dt, alert_type) VALUES ('2022-02-23 23:59:59', 'error')");
  await target.execute(
    "INSERT INTO agg_sensor_stats (sensor_name, dt, avg_value) VALUES ('TEMPERATURA_BASE', '2022-02-23 10:00', 21.5)",
  );
  expect(
    await target.query(
      `SELECT machine_id AS machine, running_percentage::text AS running, down_percentage::text AS down,
              state_unplanned_down::text AS unplanned FROM agg_machine_activity_daily`,
    ),
  ).toEqual([{ machine: "machine-1", running: "25.00", down: "75.00", unplanned: "0" }]);
  expect(await target.query("SELECT day::text AS day FROM alerts_detail")).toEqual([{ day: "2022-02-23" }]);
  expect(
    await target.query(
      "SELECT 1 AS one FROM agg_sensor_stats WHERE dt::date = '2022-02-23' AND sensor_name = 'TEMPERATURA_BASE'",
    ),
  ).toHaveLength(1);
  await target.query("TRUNCATE agg_machine_activity_daily, alerts_detail, agg_sensor_stats");
});

test("with AGG_DB_NAME figures go there and nowhere else, again without a change", async () => {
  await source.log(
    [537, "2022-02-23 08:00", 50],
    [537, "2022-02-23 09:00", Number.NaN],
    [537, "2022-02-24 09:00", Number.NaN],
  );
  const stores = createMachineStores({
    ...source.settings,
    AGG_DB_NAME: settingsOf(aggregation.url).DB_NAME,
  });
  try {
    await runAll(stores);
    expect((await runAll(stores)).map(({ changed }) => changed)).toEqual([0, 0, 0, 0, 0]);
  } finally {
    await stores.close();
  }
  const energy = "SELECT hour_ts::text AS hour, energy_kwh::float8 AS kwh FROM energy_consumption_hourly";
  expect(await target.query(energy)).toEqual([{ hour: "2022-02-23 08:00:00", kwh: 7.55 }]);
  expect(await source.db.query(energy)).toEqual([]);
  const status = await target.query(
    `SELECT first_date::text AS first, last_date::text AS last, energy_records AS energy, job_name AS job, days_done AS done
       FROM v_data_status WHERE table_name = 'energy_consumption_hourly'`,
  );
  expect(status).toEqual([
    { first: "2022-02-23", last: "2022-02-23", energy: 1, job: "etl_agg_energy_daily", done: 1 },
  ]);
});

test("the source's port is 2345 where none is given", async () => {
  await expect(createMachineStores({ DB_NAME: "machines" }).source()).rejects.toThrow(/:2345/);
});

test("the source is only read", async () => {
  const db = await source.stores.source();
  await expect(db?.execute("DELETE FROM variable_log_float")).rejects.toThrow(/read-only/);
});

test("two machines in one source database, told apart by their variables", async () => {
  await source.source.query(
    "INSERT INTO variable VALUES (1537, 'UTILIZACION_EJE_X', 'java.lang.Float'), (1544, 'SPINDLE_LOAD_1', 'java.lang.Float')",
  );
  await putMachine(source.db, { machineId: "machine-1", sourceVariables: [537, 544, 597] });
  await putMachine(source.db, { machineId: "machine-2", name: "Second", sourceVariables: [1537, 1544] });
  await source.log(
    [537, "2022-02-23 08:00", 100],
    [537, "2022-02-23 09:00", Number.NaN],
    [1537, "2022-02-23 10:00", 100],
    [1544, "2022-02-23 10:00", 10],
    [1544, "2022-02-23 11:00", Number.NaN],
    [1537, "2022-02-23 11:00", Number.NaN],
  );
  await putMachineRole(source.db, "machine-2", "motor", [{ variable: "SPINDLE_LOAD_1", factor: 20 }]);
  await runAll(source.stores);
  expect(
    await source.db.query(
      "SELECT machine_id AS machine, energy_kwh::float8 AS kwh FROM energy_consumption_hourly ORDER BY 1",
    ),
  ).toEqual([
    { machine: "machine-1", kwh: 15.1 },
    { machine: "machine-2", kwh: 2 },
  ]);
});

test("the same variables as telemetry of a device make the same figures", async () => {
  await source.db.execute("INSERT INTO iot.devices (device_code) VALUES ('esp32_lathe')");
  await putMachine(source.db, { machineId: "lathe", device: "esp32_lathe" });
  expect(await listMachines(source.db)).toMatchObject([
    { machineId: "lathe", device: "esp32_lathe" },
    {},
    {},
  ]);
  const fields = [
    "AXIS_X_MOTOR_UTILIZACION",
    "TEMPERATURA_BASE",
    "MACHINE_EMERGENCY",
    "PROG_STATUS",
    "ALARMS",
  ];
  await source.db.execute(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type)
     SELECT d.id, f, CASE f WHEN 'ALARMS' THEN 'text' ELSE 'number' END FROM iot.devices d, unnest($1::text[]) f`,
    [fields],
  );
  const put = async (field: string, at: string, value: number | null) =>
    source.db.execute(
      `INSERT INTO measurement (sensor_id, time, value, status)
       SELECT id, $2, $3::float8, CASE WHEN $3 IS NULL THEN 'error' ELSE 'ok' END FROM iot.sensors WHERE sensor_code = $1`,
      [field, new Date(ms(at)), value],
    );
  await put("AXIS_X_MOTOR_UTILIZACION", "2026-02-23 08:00", 100);
  await put("AXIS_X_MOTOR_UTILIZACION", "2026-02-23 09:30", null);
  await put("TEMPERATURA_BASE", "2026-02-23 08:00", 2150);
  await put("TEMPERATURA_BASE", "2026-02-23 09:00", null);
  await put("MACHINE_EMERGENCY", "2026-02-23 10:00", 1);
  await put("MACHINE_EMERGENCY", "2026-02-23 11:30", 0);
  await put("PROG_STATUS", "2026-02-23 08:00", 12);
  await put("PROG_STATUS", "2026-02-24 00:10", null);
  await source.db.execute(
    `INSERT INTO measurement_text (sensor_id, time, value)
     SELECT id, '2026-02-23 10:00Z', '[["1", "Fallo de eje", "", "", 2]]' FROM iot.sensors WHERE sensor_code = 'ALARMS'`,
  );
  const results = await runAll(source.stores);
  expect(results.filter(({ job }) => job.endsWith("-lathe"))).toHaveLength(5);
  const of = (table: string, columns: string) =>
    source.db.query(`SELECT ${columns} FROM ${table} WHERE machine_id = 'lathe' ORDER BY 1`);
  expect(await of("energy_consumption_hourly", "energy_kwh::float8 AS kwh")).toEqual([
    { kwh: 7.55 },
    { kwh: 15.1 },
  ]);
  expect(await of("agg_sensor_stats", "sensor_name AS name, avg_value AS avg")).toEqual([
    { name: "TEMPERATURA_BASE", avg: 21.5 },
  ]);
  expect(await of("machine_program_data", "dt::text AS dt, program, duration_seconds AS s")).toEqual([
    { dt: "2026-02-23", program: 12, s: 57_600 },
    { dt: "2026-02-24", program: 12, s: 600 },
  ]);
  expect(await of("alerts_daily_count", "alert_type AS type, amount")).toEqual([
    { type: "error", amount: 1 },
  ]);
  expect(
    await of("agg_machine_activity_daily", "dt::text AS dt, state_unplanned_down::float8 AS down"),
  ).toMatchObject([
    { dt: "2026-02-23", down: 1.5 },
    { dt: "2026-02-24", down: 0 },
  ]);
  expect((await runAll(source.stores)).every(({ changed }) => changed === 0)).toBe(true);
});

test("devices of the type machining_center are machines by themselves; the usual one takes over only where no source feeds it", async () => {
  await source.db.execute("UPDATE iot.machines SET source_variables = NULL WHERE machine_id = 'machine-1'");
  await source.db.execute(
    "INSERT INTO iot.devices (device_code, device_type) VALUES ('machine-1', 'machining_center'), ('CNC_7', 'machining_center')",
  );
  const devices = async () =>
    Object.fromEntries((await listMachines(source.db)).map(({ machineId, device }) => [machineId, device]));
  await listLoggedMachines(source.db, source.stores);
  expect(await devices()).toMatchObject({ "cnc-7": "CNC_7", "machine-1": null });
  const sourceless = createMachineStores({});
  await listLoggedMachines(source.db, sourceless);
  await listLoggedMachines(source.db, sourceless);
  expect(await devices()).toMatchObject({ "cnc-7": "CNC_7", "machine-1": "machine-1", lathe: "esp32_lathe" });
});
