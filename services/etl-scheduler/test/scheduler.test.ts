import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { createDailyJob } from "@sluice/etl";
import { usePostgres, waitFor } from "@sluice/testkit";
import { createTask } from "../src/tasks.ts";

const postgres = usePostgres();
let db: Db;
const children: ChildProcess[] = [];
beforeAll(async () => {
  db = await openDb(postgres.url);
  await db.execute("INSERT INTO iot.devices (device_code) VALUES ('arduino_1')");
  await db.execute(
    "INSERT INTO iot.sensors (device_id, sensor_code, value_type) SELECT id, 'temperature', 'number' FROM iot.devices",
  );
  await db.execute(
    `INSERT INTO measurement (time, sensor_id, value)
     SELECT t, s.id, 20 FROM iot.sensors s, generate_series(now() - INTERVAL '3 days', now(), INTERVAL '1 minute') t`,
  );
});
afterAll(() => db?.close());
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

function start(env: Record<string, string> = {}): ChildProcess {
  const program = fileURLToPath(new URL("../src/main.ts", import.meta.url));
  const child = spawn(process.execPath, ["--conditions=source", "--import", "tsx", program], {
    env: { PATH: process.env.PATH, DATABASE_URL: postgres.url, LOG_LEVEL: "warn", ...env },
    stdio: ["ignore", "ignore", "inherit"],
  });
  children.push(child);
  return child;
}

const leader = async () =>
  (
    await db.query<{ holder: string }>(
      "SELECT holder FROM etl_lease WHERE job_name = '#leader' AND expires_at > now()",
    )
  )[0]?.holder;
const count = async (table: string) =>
  (await db.query<{ n: number }>(`SELECT count(*) AS n FROM ${table}`))[0]?.n ?? 0;

test("rolls up without ETL_ENABLED, and fills the BI tables with it, when it starts", async () => {
  start();
  await waitFor(async () => (await count("rollup_1d")) > 0, { what: "days", timeoutMs: 20_000 });
  expect(await count("bi.hourly_sensor_agg")).toBe(0);
  for (const child of children.splice(0)) {
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  }
  expect(await leader()).toBeUndefined();
  start({ ETL_ENABLED: "true" });
  await waitFor(async () => (await count("bi.daily_sensor_agg")) > 0, {
    what: "daily rows",
    timeoutMs: 20_000,
  });
  expect(await count("bi.hourly_sensor_agg")).toBeGreaterThan(0);
});

test("one of several instances leads; another takes over when it is killed", async () => {
  const first = start();
  await waitFor(leader, { timeoutMs: 20_000 });
  const held = await leader();
  start();
  start();
  first.kill("SIGKILL");
  await once(first, "exit");
  const next = await waitFor(async () => ((await leader()) !== held ? await leader() : undefined), {
    what: "another leader",
    timeoutMs: 50_000,
  });
  expect(next).not.toBe(held);
});

test("bad configuration ends it with 2", async () => {
  expect(await once(start({ ETL_DAILY_HOUR: "25" }), "exit")).toEqual([2, null]);
});

test("TRAP 8: the daily run is due at half past its hour, local time, once, whatever came between", async () => {
  const startMs = Date.UTC(2026, 9, 24, 12);
  const { schedule } = createDailyJob({ hour: 1, zone: "Europe/Lisbon" });
  let runs = 0;
  let nowMs = startMs;
  const task = createTask("daily", schedule, startMs, async () => {
    runs++;
  });
  const engine = { now: () => nowMs } as Parameters<typeof task.run>[0];
  const dueAt: string[] = [];
  for (; nowMs < startMs + 3 * 86_400_000; nowMs += 65 * 60_000) {
    if (!task.due(nowMs)) continue;
    dueAt.push(new Date(nowMs).toISOString());
    await task.run(engine);
  }
  // at the start, then after 01:30 in Lisbon: summer time on the 25th until 02:00, when half past one comes twice
  expect(dueAt.map((at) => at.slice(0, 10))).toEqual([
    "2026-10-24",
    "2026-10-25",
    "2026-10-26",
    "2026-10-27",
  ]);
  expect(runs).toBe(4);
});
