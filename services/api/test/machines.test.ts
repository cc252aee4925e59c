import { beforeAll, expect, test } from "@jest/globals";
import { createApiKey, openDb, putMachine } from "@sluice/db";
import { usePostgres } from "@sluice/testkit";
import { PEPPER, useApi } from "./use-api.ts";

const DAY = "2022-02-23";
const source = usePostgres({ empty: true });
const api = useApi(() => {
  const { hostname, port, username, password, pathname } = new URL(source.url);
  return {
    DB_HOST: hostname,
    DB_PORT: port,
    DB_USER: username,
    ...(password === "" ? {} : { DB_PASSWORD: password }),
    DB_NAME: pathname.slice(1),
    SLUICE_CORS_ORIGINS: "http://localhost:3000",
  };
});
beforeAll(async () => {
  const db = await openDb(source.url, { max: 1 });
  await db.query(`
    CREATE TABLE variable (id INTEGER, name TEXT, datatype TEXT);
    CREATE TABLE variable_log_float (id_var INTEGER, date BIGINT, value REAL);
    CREATE TABLE variable_log_string (id_var INTEGER, date BIGINT, value TEXT);
    INSERT INTO variable VALUES (597, 'MACHINE_IN_OPERATION', 'java.lang.Float');
    INSERT INTO variable_log_float VALUES (597, 1643554800000, 255), (597, 1643555100250, 0), (597, 1643555400000, 'NaN'),
      (597, 1643560000000, 255)`);
  await db.close();
  await api.db.query(`
    INSERT INTO agg_sensor_stats (sensor_name, dt, min_value, avg_value, max_value, std_dev, readings_count)
    VALUES ('TEMPERATURA_BASE', '2022-02-23 10:00', 20.5, 21.25, 22, 0.5, 12), ('TEMPERATURA_BASE', '2022-02-23 09:00', 20, 20, 20, 0, 0);
    INSERT INTO agg_machine_activity_daily (dt, state_running, state_planned_down, state_unplanned_down)
    VALUES ('2022-02-23', 6, 16, 2), ('2022-02-24', 0, 24, 0);
    INSERT INTO machine_program_data (dt, program, duration_seconds) VALUES ('2022-02-23', 7, 60), ('2022-02-23', 12, 3600);
    INSERT INTO alerts_daily_count (day, alert_type, amount, newly_raised) VALUES ('2022-02-23', 'error', 1, 1), ('2022-02-23', 'other', 116, 83);
    INSERT INTO alerts_detail (dt, alert_type, alarm_code, alarm_description, raw_elem_json)
    VALUES ('2022-02-23 10:00:00.25', 'error', '25000', 'Axis fault', '["25000","Axis fault","","",1]');
    INSERT INTO energy_consumption_hourly (hour_ts, energy_kwh) VALUES ('2022-02-23 10:00', 9.861), ('2022-02-24 10:00', 1)`);
});

const get = (path: string, headers: Record<string, string> = {}) =>
  api.call("GET", path, { key: api.keys.read, headers });

test("GET /api/status says that the api runs and whether its database answers, to anybody", async () => {
  expect((await api.call("GET", "/api/status")).json).toEqual({
    status: "API is running",
    database: "Connected",
  });
});

test("GET /api/v1/temperature: hours of a sensor, 404 where there are none", async () => {
  const found = await get(`/api/v1/temperature?target_date=${DAY}&sensor_name=TEMPERATURA_BASE`);
  expect(found.json).toEqual([
    { dt: "2022-02-23 09:00:00", min_value: 20, avg_value: 20, max_value: 20, std_dev: 0, readings_count: 0 },
    {
      dt: "2022-02-23 10:00:00",
      min_value: 20.5,
      avg_value: 21.25,
      max_value: 22,
      std_dev: 0.5,
      readings_count: 12,
    },
  ]);
  const none = await get("/api/v1/temperature?target_date=2022-02-20&sensor_name=TEMPERATURA_BASE");
  expect([none.status, none.json.detail]).toEqual([
    404,
    "No temperature data found for TEMPERATURA_BASE for 2022-02-20",
  ]);
  expect((await get(`/api/v1/temperature?target_date=${DAY}`)).status).toBe(404);
});

test("GET /api/v1/machine_util: hours and percentages of a day, 404 where there is none", async () => {
  expect((await get(`/api/v1/machine_util?target_date=${DAY}`)).json).toEqual([
    {
      dt: DAY,
      state_running: 6,
      state_planned_down: 16,
      running_percentage: 25,
      down_percentage: 66.67,
      state_unplanned_down: 2,
    },
  ]);
  expect((await get("/api/v1/machine_util?target_date=2022-02-20")).status).toBe(404);
});

test("GET /api/v1/machine_program: programs by duration, 404 where there are none", async () => {
  expect((await get(`/api/v1/machine_program?target_date=${DAY}`)).json).toEqual([
    { dt: DAY, program: 12, duration_seconds: 3600 },
    { dt: DAY, program: 7, duration_seconds: 60 },
  ]);
  expect((await get("/api/v1/machine_program?target_date=2022-02-20")).status).toBe(404);
});

test("GET /api/v1/alerts_daily_count, alerts_detail and energy_consumption: [] where there is nothing", async () => {
  expect((await get(`/api/v1/alerts_daily_count?target_date=${DAY}`)).json).toEqual([
    { day: DAY, alert_type: "other", amount: 116, newly_raised: 83 },
    { day: DAY, alert_type: "error", amount: 1, newly_raised: 1 },
  ]);
  expect((await get(`/api/v1/alerts_detail?target_date=${DAY}`)).json).toEqual([
    {
      id: expect.any(Number),
      dt: "2022-02-23 10:00:00.250000",
      alert_type: "error",
      alarm_code: "25000",
      alarm_description: "Axis fault",
      newly_raised: true,
    },
  ]);
  expect((await get(`/api/v1/energy_consumption?target_date=${DAY}`)).json).toEqual([
    { hour_ts: "2022-02-23 10:00:00", energy_kwh: 9.861 },
  ]);
  for (const path of ["alerts_daily_count", "alerts_detail", "energy_consumption"]) {
    const none = await get(`/api/v1/${path}?target_date=2022-02-20`);
    expect([none.status, none.json]).toEqual([200, []]);
  }
});

test("GET /api/v1/data_status: what there is, and per table with its job", async () => {
  const { json } = await get("/api/v1/data_status");
  expect(json).toMatchObject({
    first_date: "2022-02-23",
    last_date: "2022-02-24",
    sensor_records: 2,
    utilization_records: 2,
    alert_records: 1,
    program_records: 2,
    energy_records: 2,
  });
  expect(json.tables).toHaveLength(6);
  expect(json.tables).toContainEqual(
    expect.objectContaining({
      job_name: "etl_agg_program_history",
      table_name: "machine_program_data",
      last_date: "2022-02-23",
      total_records: 2,
      days_done: 0,
    }),
  );
});

test("GET /api/v1/machine_changes: raw operation between two instants, whatever became of the '+' in the URL", async () => {
  for (const range of [
    "start=2022-01-30 15:00:00%2B00:00&end=2022-01-30 15:30:00%2B00:00",
    "start=2022-01-30%2015:00:00+00:00&end=2022-01-30%2015:30:00+00:00",
    "start=2022-01-30T16:00:00%2B01:00&end=2022-01-30T15:30:00Z",
  ]) {
    expect((await get(`/api/v1/machine_changes?${range}`)).json).toEqual([
      { ts: "2022-01-30 15:00:00+00:00", value: 255 },
      { ts: "2022-01-30 15:05:00.250000+00:00", value: 0 },
      { ts: "2022-01-30 15:10:00+00:00", value: null },
    ]);
  }
  expect((await get("/api/v1/machine_changes?start=2022-01-30&end=yesterday")).status).toBe(400);
});

test("a range of days instead of one, and 400 where neither or both are given", async () => {
  const range = "start_date=2022-02-23&end_date=2022-02-24";
  expect((await get(`/api/v1/machine_util?${range}`)).json).toHaveLength(2);
  expect((await get(`/api/v1/energy_consumption?${range}`)).json).toHaveLength(2);
  for (const query of [
    "",
    `target_date=${DAY}&${range}`,
    "target_date=2022-02-30",
    "start_date=2022-02-24&end_date=2022-02-23",
    "end_date=2022-02-23",
    "start_date=1990-01-01&end_date=2022-02-23",
  ]) {
    expect([query, (await get(`/api/v1/machine_util?${query}`)).status]).toEqual([query, 400]);
  }
});

test("CORS as configured: the document's origin may read, no other", async () => {
  const path = `/api/v1/machine_util?target_date=${DAY}`;
  const own = await get(path, { origin: "http://localhost:3000" });
  expect(own.headers.get("access-control-allow-origin")).toBe("http://localhost:3000");
  expect(
    (await get(path, { origin: "http://evil.example" })).headers.get("access-control-allow-origin"),
  ).toBeNull();
});

test("figures need a key, and one of a device sees only the machine that the device feeds", async () => {
  await putMachine(api.db, { machineId: "lathe", device: "esp32_001" });
  const { key } = await createApiKey(api.db, PEPPER, {
    name: "one",
    scopes: ["read"],
    devices: ["esp32_001"],
  });
  const path = `/api/v1/energy_consumption?target_date=${DAY}`;
  expect((await api.call("GET", path)).status).toBe(401);
  expect((await api.call("GET", path, { key })).status).toBe(403);
  expect((await api.call("GET", `${path}&machine_id=lathe`, { key })).json).toEqual([]);
});

test("the page shows the days asked for, with a form for others", async () => {
  const page = await get("/machines?start_date=2022-02-23&end_date=2022-02-24");
  expect(page.headers.get("content-type")).toContain("text/html");
  expect(page.text).toContain('<input type="date" name="start_date" value="2022-02-23" required>');
  expect(page.text).toContain("<td>9.861</td>");
  expect((await get("/machines")).text).toContain('value="2022-02-24"');
});

test("what goes wrong in the database is 500 Database error", async () => {
  await api.db.query("ALTER TABLE energy_consumption_hourly RENAME TO gone");
  const answer = await get(`/api/v1/energy_consumption?target_date=${DAY}`);
  await api.db.query("ALTER TABLE gone RENAME TO energy_consumption_hourly");
  expect([answer.status, answer.json.detail]).toEqual([500, "Database error"]);
});

test("the response models are described", async () => {
  const { json } = await api.call("GET", "/api/openapi.json");
  const model =
    json.paths["/api/v1/temperature"].get.responses["200"].content["application/json"].schema.items;
  expect(Object.keys(model.properties)).toEqual([
    "dt",
    "min_value",
    "avg_value",
    "max_value",
    "std_dev",
    "readings_count",
  ]);
});
