import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, markDirty, openDb, purgeRetained } from "@sluice/db";
import { usePostgres } from "@sluice/testkit";
import { advanceRollups } from "../src/advance-rollups.ts";

const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2026, 5, 30, 12);
const postgres = usePostgres();
let db: Db;
let sensors: Record<string, number>;
beforeAll(async () => {
  db = await openDb(postgres.url, { max: 4 });
  await db.execute("INSERT INTO iot.devices (device_code) VALUES ('d')");
  const rows = await db.query<{ id: number; code: string }>(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type, sensor_type_id)
     SELECT d.id, c, 'number', t.id FROM iot.devices d, (VALUES ('a', NULL), ('b', 'PH_SENSOR'), ('c', 'PH_SENSOR')) n(c, y)
       LEFT JOIN iot.sensor_types t ON t.name = y RETURNING id, sensor_code AS code`,
  );
  sensors = Object.fromEntries(rows.map(({ id, code }) => [code, id]));
  await db.execute(
    `INSERT INTO measurement (sensor_id, time, value) SELECT s.id, t, 1
       FROM iot.sensors s, generate_series($1::timestamptz, $2, '1 hour') t`,
    [new Date(NOW_MS - 40 * DAY_MS), new Date(NOW_MS - DAY_MS)],
  );
  await db.execute(
    `INSERT INTO retention_policy (table_name, sensor_type, retention_days)
     VALUES ('measurement', '*', 30), ('measurement', 'PH_SENSOR', 10), ('measurement', 'c', 5)`,
  );
});
afterAll(() => db?.close());

const counts = async () => {
  const rows = await db.query<{ code: string; n: number }>(
    "SELECT s.sensor_code AS code, count(*) AS n FROM measurement m JOIN iot.sensors s ON s.id = m.sensor_id GROUP BY 1",
  );
  return Object.fromEntries(rows.map(({ code, n }) => [code, n]));
};
const rollups = () => db.query("SELECT sensor_id, bucket, n, sum, held_seconds FROM rollup_1h ORDER BY 1, 2");

test("readings that are not rolled up are never deleted, however old", async () => {
  const before = await counts();
  expect(await purgeRetained(db, { nowMs: NOW_MS })).toEqual([]);
  expect(await counts()).toEqual(before);
});

test("readings go by their sensor's own policy, then its type's, then the general one; rollups stay", async () => {
  await advanceRollups(db, NOW_MS);
  const figures = await rollups();
  const planned = await purgeRetained(db, { nowMs: NOW_MS, dryRun: true });
  const [done] = await purgeRetained(db, { nowMs: NOW_MS });
  expect(planned).toEqual([done]);
  // 40 days less those kept from a midnight on, and one more whose value holds on beyond it
  expect(await counts()).toEqual({ a: 29 * 24 + 13 + 1, b: 9 * 24 + 13 + 1, c: 4 * 24 + 13 + 1 });
  await advanceRollups(db, NOW_MS);
  expect(await rollups()).toEqual(figures);
  expect((await purgeRetained(db, { nowMs: NOW_MS }))[0]?.rows).toBe(0);
});

test("a late reading of a time whose readings are gone takes no figures away; one after it is rolled up", async () => {
  const figures = await rollups();
  const late = async (daysAgo: number) => {
    const time = new Date(NOW_MS - daysAgo * DAY_MS + 1000);
    await db.transaction(async (tx) => {
      await tx.query("SELECT pg_advisory_xact_lock_shared(rollup_lock())");
      await tx.execute("INSERT INTO measurement (sensor_id, time, value) VALUES ($1, $2, 5)", [
        sensors.c,
        time,
      ]);
      await markDirty(tx, [
        { sensorId: sensors.c ?? 0, fromUs: time.getTime() * 1000, toUs: time.getTime() * 1000 },
      ]);
    });
    await advanceRollups(db, NOW_MS);
  };
  await late(20);
  expect(await rollups()).toEqual(figures);
  await late(3);
  expect(await rollups()).not.toEqual(figures);
});

test("readings that a repair waits for stay until it is done", async () => {
  await db.execute("UPDATE retention_policy SET retention_days = 2");
  await markDirty(db, [
    { sensorId: sensors.a ?? 0, fromUs: (NOW_MS - 25 * DAY_MS) * 1000, toUs: (NOW_MS - 25 * DAY_MS) * 1000 },
  ]);
  const [result] = await purgeRetained(db, { nowMs: NOW_MS });
  expect(result?.held).toBe(1);
  expect((await counts()).a).toBeGreaterThan(24 * 23);
  await advanceRollups(db, NOW_MS);
  await purgeRetained(db, { nowMs: NOW_MS });
  expect((await counts()).a).toBeLessThan(24 * 3);
});
