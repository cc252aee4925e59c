import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { usePostgres } from "@sluice/testkit";

const postgres = usePostgres();
const folder = mkdtempSync(join(tmpdir(), "sluice-etl-"));
let db: Db;
beforeAll(async () => {
  db = await openDb(postgres.url);
  await db.execute("INSERT INTO iot.devices (device_code) VALUES ('arduino_1')");
  await db.execute(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type)
     SELECT id, f, 'number' FROM iot.devices, unnest(ARRAY['temperature', 'light_level']) f`,
  );
  await db.execute(
    `INSERT INTO measurement (time, sensor_id, value)
     SELECT t, s.id, 20 FROM iot.sensors s,
            generate_series(date_trunc('day', now()) - INTERVAL '5 days', now(), INTERVAL '1 minute') t`,
  );
});
afterAll(async () => {
  await db?.close();
  rmSync(folder, { recursive: true });
});

const program = fileURLToPath(new URL("../src/main.ts", import.meta.url));

/** Runs one command line as a user does. */
function sluice(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const line = ["--conditions=source", "--import", "tsx", program, "--data-dir", folder, ...args];
  const env = { PATH: process.env.PATH, DATABASE_URL: postgres.url, REDIS_URL: "redis://127.0.0.1:1" };
  return new Promise((resolve) => {
    execFile(process.execPath, line, { env }, (error, out, err) => {
      const code = error ? Number((error as { code?: number }).code ?? 1) : 0;
      resolve({ code, out, err });
    });
  });
}

const count = async (table: string) =>
  (await db.query<{ n: number }>(`SELECT count(*) AS n FROM ${table}`))[0]?.n ?? 0;

test("TRAP 9: an unknown command is asked wrongly, and runs nothing", async () => {
  for (const args of [
    ["etl", "everything"],
    ["etl"],
    ["etl", "hourly", "--bogus"],
    ["etl", "backfill", "--days", "0"],
  ]) {
    expect(await sluice(...args)).toMatchObject({ code: 2 });
  }
  expect(await count("processing_jobs")).toBe(0);
});

test("every command and flag of the document works, and running twice changes nothing", async () => {
  const dry = await sluice("etl", "hourly", "--dry-run");
  expect([dry.code, await count("bi.hourly_sensor_agg"), await count("processing_jobs")]).toEqual([0, 0, 0]);
  expect(dry.out).toMatch(/bi\.hourly_sensor_agg: [1-9]\d* rows to insert, 0 to change/);
  for (const args of [
    ["hourly"],
    ["daily"],
    ["full"],
    ["hourly", "--hours", "12"],
    ["daily", "--days", "4"],
    ["backfill", "--days", "4"],
    ["cleanup", "--retention-days", "60"],
    ["status"],
  ]) {
    expect(await sluice("etl", ...args)).toMatchObject({ code: 0 });
  }
  const again = await sluice("etl", "backfill", "--days", "4", "--dry-run");
  expect(again).toMatchObject({ code: 0, out: "nothing to change\n" });
  expect(await count("bi.daily_sensor_agg")).toBe(8);
  const status = JSON.parse((await sluice("etl", "status", "--json")).out);
  expect(status).toMatchObject({
    initialized: true,
    scheduler_running: false,
    pg_connected: true,
    sensor_mappings: 2,
    watermarks: {
      etl_hourly_watermark: { timestamp: expect.stringMatching(/:00:00\+00:00$/) },
      etl_daily_watermark: { timestamp: expect.stringMatching(/T00:00:00\+00:00$/) },
    },
    row_counts: { daily_rows: 8 },
  });
});

test("what --dry-run showed is applied by its token, and by no other", async () => {
  await db.execute("UPDATE bi.daily_sensor_agg SET avg_value = 1 WHERE metric_date = CURRENT_DATE - 1");
  const { out } = await sluice("etl", "daily", "--dry-run");
  expect(out).toContain("avg_value 1 → 20");
  const token = /--apply (\S+)/.exec(out)?.[1] ?? "";
  expect(await sluice("etl", "daily", "--apply", token)).toMatchObject({ code: 0, out: "applied: 2 rows\n" });
  expect(await sluice("etl", "daily", "--apply", token)).toMatchObject({ code: 1 });
  expect(await sluice("etl", "daily", "--apply", "nonsense")).toMatchObject({ code: 2 });
});

test("a window that fails ends the command with 1", async () => {
  await db.execute("ALTER TABLE bi.hourly_sensor_agg ADD CONSTRAINT refuse CHECK (sensor_id < 0) NOT VALID");
  await db.execute("DELETE FROM bi.hourly_sensor_agg");
  const { code, err } = await sluice("etl", "hourly");
  await db.execute("ALTER TABLE bi.hourly_sensor_agg DROP CONSTRAINT refuse");
  expect(code).toBe(1);
  expect(err).toContain("refuse");
  expect((await sluice("etl", "hourly")).code).toBe(0);
});

test("the document's statements run as they are written there", async () => {
  for (const statement of [
    "SELECT * FROM bi.hourly_sensor_agg ORDER BY hour_start DESC LIMIT 10",
    "SELECT * FROM bi.daily_sensor_agg ORDER BY metric_date DESC LIMIT 10",
    "SELECT * FROM core.system_config WHERE key LIKE 'etl_%'",
    `SELECT s.id, s.sensor_code, st.name, d.device_code
       FROM iot.sensors s
       JOIN iot.sensor_types st ON s.sensor_type_id = st.id
       JOIN iot.devices d ON s.device_id = d.id`,
  ]) {
    expect((await db.query(statement)).length).toBeGreaterThan(0);
  }
  await db.execute(
    "CREATE UNIQUE INDEX IF NOT EXISTS uq_daily_sensor_metric ON bi.daily_sensor_agg (sensor_id, metric_date)",
  );
});
