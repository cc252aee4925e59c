import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { createBatch, type Db, findWatermark, openDb, seedVarieties } from "@sluice/db";
import {
  afterRollups,
  createDailyJob,
  createHourlyJob,
  type Engine,
  type Job,
  runBackfill,
  runLatest,
} from "@sluice/etl";
import { usePostgres } from "@sluice/testkit";
import { createQuietEngine } from "./quiet-engine.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MINUTE_MS = 60_000;
/** Half past two on a Wednesday. */
const NOW_MS = Date.UTC(2026, 1, 11, 14, 30);
const TODAY_MS = Date.UTC(2026, 1, 11);

const postgres = usePostgres();
let db: Db;
beforeAll(async () => {
  db = await openDb(postgres.url, { max: 8 });
});
afterAll(() => db?.close());

const FIELDS = ["temperature", "humidity", "ph", "ec", "water_level", "light_level"];
let sensors: Record<string, number> = {};

beforeEach(async () => {
  await db.execute(`TRUNCATE measurement, rollup_watermark, rollup_dirty, rollup_5m, rollup_1h, rollup_1d, bi.due,
    bi.hourly_sensor_agg, bi.daily_sensor_agg, processing_jobs, etl_lease, etl_failed_window, core.system_config,
    crop.batches, crop.varieties, iot.devices CASCADE`);
  await db.execute("INSERT INTO iot.devices (device_code) VALUES ('arduino_1')");
  const rows = await db.query<{ id: number; sensor_code: string }>(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type)
     SELECT d.id, f, 'number' FROM iot.devices d, unnest($1::text[]) f RETURNING id, sensor_code`,
    [FIELDS],
  );
  sensors = Object.fromEntries(rows.map((row) => [row.sensor_code, row.id]));
});

const engineAt = (nowMs: number): Engine => createQuietEngine(db, nowMs);

async function latest(job: Job, nowMs = NOW_MS, lookbackMs?: number) {
  return runLatest(await afterRollups(engineAt(nowMs)), job, lookbackMs === undefined ? {} : { lookbackMs });
}

/** One reading a minute of a field. */
async function send(field: string, fromMs: number, toMs: number, valueAt: (minute: number) => number | null) {
  const minutes = Array.from({ length: Math.ceil((toMs - fromMs) / MINUTE_MS) }, (_, i) => i);
  await db.transaction(async (tx) => {
    await tx.query("SELECT pg_advisory_xact_lock_shared(rollup_lock())");
    await tx.execute(
      `INSERT INTO measurement (sensor_id, time, value, status)
       SELECT $1, t, v, CASE WHEN v IS NULL THEN 'error' ELSE 'ok' END FROM unnest($2::timestamptz[], $3::float8[]) n (t, v)`,
      [sensors[field], minutes.map((m) => new Date(fromMs + m * MINUTE_MS)), minutes.map(valueAt)],
    );
    await tx.query("SELECT mark_rollup_rebuild($1, $2, $3)", [
      sensors[field],
      new Date(fromMs),
      new Date(toMs),
    ]);
  });
}

const hours = () =>
  db.query<{ hour: Date; count: number; avg: string; sd: string | null }>(
    `SELECT hour_start AS hour, reading_count AS count, avg_value AS avg, stddev_value AS sd FROM bi.hourly_sensor_agg
      ORDER BY sensor_id, hour_start`,
  );
const days = () =>
  db.query<{
    day: string;
    avg: string;
    n: number;
    optimal: string | null;
    critical: string | null;
    tw: string | null;
  }>(
    `SELECT metric_date::text AS day, avg_value AS avg, reading_count AS n, time_in_optimal_pct AS optimal,
            time_in_critical_pct AS critical, time_weighted_optimal_pct AS tw FROM bi.daily_sensor_agg
      ORDER BY sensor_id, metric_date`,
  );

describe("hydroponics ETL", () => {
  test("TRAP 1: rows come although nothing was aggregated before", async () => {
    await send("temperature", TODAY_MS + 12 * HOUR_MS, TODAY_MS + 14 * HOUR_MS, (m) => 20 + (m % 2));
    expect(await latest(createHourlyJob())).toMatchObject({ rows: 2, changed: 2, failed: [] });
  });

  test("TRAP 2: a run without rows does not move the watermark back, however often it runs", async () => {
    const job = createHourlyJob();
    await latest(job);
    const first = await findWatermark(db, job.watermarkKey);
    await latest(job);
    await latest(job);
    expect(first).toBe(TODAY_MS + 14 * HOUR_MS);
    expect(await findWatermark(db, job.watermarkKey)).toBe(first);
  });

  test("TRAP 3: hours and days carry the time they begin at", async () => {
    await send("temperature", TODAY_MS + 13 * HOUR_MS, TODAY_MS + 14 * HOUR_MS, () => 20);
    await send("humidity", TODAY_MS - DAY_MS, TODAY_MS, () => 60);
    await latest(createHourlyJob());
    await latest(createDailyJob());
    expect((await hours()).map(({ hour }) => hour.getTime())).toContain(TODAY_MS + 13 * HOUR_MS);
    expect((await days()).map(({ day }) => day)).toEqual(["2026-02-10"]);
  });

  test("TRAP 4: every field has minimum, maximum and count", async () => {
    for (const field of FIELDS) await send(field, TODAY_MS + 13 * HOUR_MS, TODAY_MS + 14 * HOUR_MS, (m) => m);
    await latest(createHourlyJob());
    const rows = await db.query(
      "SELECT DISTINCT min_value::float8 AS min, max_value::float8 AS max, reading_count AS n, count(*) OVER () FROM bi.hourly_sensor_agg",
    );
    expect(rows).toEqual([{ min: 0, max: 59, n: 60, count: 6 }]);
  });

  test("TRAP 5: a day counts readings, and its deviation is that of the readings", async () => {
    await send("temperature", TODAY_MS - DAY_MS, TODAY_MS, (m) => 20 + (m % 2));
    await latest(createDailyJob());
    const [row] = await db.query<{ n: number; sd: string }>(
      "SELECT reading_count AS n, stddev_value AS sd FROM bi.daily_sensor_agg",
    );
    expect(row?.n).toBe(1440);
    expect(Number(row?.sd)).toBeCloseTo(0.5002, 4); // sample deviation of 720 times 20 and 720 times 21
  });

  test("TRAP 6: a backfill goes back as far as asked although there is a watermark, and leaves it where it is", async () => {
    const job = createHourlyJob();
    await send("temperature", TODAY_MS - 20 * DAY_MS, TODAY_MS - 20 * DAY_MS + 2 * HOUR_MS, () => 20);
    await latest(job);
    const mark = await findWatermark(db, job.watermarkKey);
    expect(await hours()).toEqual([]);
    const result = await runBackfill(await afterRollups(engineAt(NOW_MS)), job, 30);
    expect(result).toMatchObject({ windows: 31, changed: 2 });
    expect(await findWatermark(db, job.watermarkKey)).toBe(mark);
  });

  test("TRAP 7: the hour that is not over is left alone", async () => {
    await send("temperature", TODAY_MS + 13 * HOUR_MS, NOW_MS, () => 20);
    await latest(createHourlyJob());
    expect((await hours()).map(({ hour }) => hour.getTime())).toEqual([TODAY_MS + 13 * HOUR_MS]);
  });

  test("TRAP 10: light_level is light", async () => {
    await send("light_level", TODAY_MS + 13 * HOUR_MS, TODAY_MS + 14 * HOUR_MS, () => 12_000);
    await latest(createHourlyJob());
    const rows = await db.query(
      `SELECT s.sensor_code, st.name, d.device_code FROM iot.sensors s
         JOIN iot.sensor_types st ON s.sensor_type_id = st.id JOIN iot.devices d ON s.device_id = d.id
         JOIN bi.hourly_sensor_agg h ON h.sensor_id = s.id`,
    );
    expect(rows).toEqual([{ sensor_code: "light_level", name: "LIGHT_LUX", device_code: "arduino_1" }]);
  });

  test("a second run changes nothing, and a value above the document's NUMERIC(10,4) stops nothing", async () => {
    await send("light_level", TODAY_MS + 12 * HOUR_MS, TODAY_MS + 14 * HOUR_MS, (m) => 1e9 + m);
    expect((await latest(createHourlyJob())).changed).toBe(2);
    expect((await latest(createHourlyJob())).changed).toBe(0);
  });

  test("TRAP: days of any year have a place", async () => {
    const at = Date.UTC(2019, 5, 1);
    await send("temperature", at, at + HOUR_MS, () => 20);
    await latest(createDailyJob(), at + 2 * DAY_MS);
    expect((await days()).map(({ day }) => day)).toEqual(["2019-06-01"]);
  });

  test("readings that come after their hour was passed, and deleted ones, are mended however old they are", async () => {
    const hourly = createHourlyJob();
    const daily = createDailyJob();
    const old = TODAY_MS - 40 * DAY_MS;
    await latest(hourly);
    await latest(daily);
    await send("temperature", old, old + HOUR_MS, () => 20);
    await latest(hourly);
    await latest(daily);
    expect((await hours()).map(({ count }) => count)).toEqual([60]);
    expect((await days()).map(({ n }) => n)).toEqual([60]);
    await db.execute("DELETE FROM measurement");
    await db.query("SELECT mark_rollup_rebuild($1, $2, $3)", [
      sensors.temperature,
      new Date(old),
      new Date(old + HOUR_MS),
    ]);
    await latest(hourly);
    await latest(daily);
    expect([await hours(), await days()]).toEqual([[], []]);
  });
});

test("the statements of the document's section on verification run unchanged", async () => {
  await send("temperature", TODAY_MS + 12 * HOUR_MS, TODAY_MS + 13 * HOUR_MS, () => 20);
  await latest(createHourlyJob());
  await latest(createDailyJob());
  const statements = [
    "SELECT * FROM bi.hourly_sensor_agg ORDER BY hour_start DESC LIMIT 10;",
    "SELECT * FROM bi.daily_sensor_agg ORDER BY metric_date DESC LIMIT 10;",
    "SELECT * FROM core.system_config WHERE key LIKE 'etl_%';",
    `SELECT s.id, s.sensor_code, st.name, d.device_code
FROM iot.sensors s
JOIN iot.sensor_types st ON s.sensor_type_id = st.id
JOIN iot.devices d ON s.device_id = d.id;`,
    `CREATE UNIQUE INDEX IF NOT EXISTS uq_daily_sensor_metric
    ON bi.daily_sensor_agg (sensor_id, metric_date);`,
  ];
  const counts = [];
  for (const statement of statements) counts.push((await db.query(statement)).length > 0);
  expect(counts).toEqual([true, false, true, true, false]); // today is not over: it has no row yet
});

test("what a sensor is expected to send is learned where it is regular, and its coverage told", async () => {
  await send("temperature", TODAY_MS + 12 * HOUR_MS, TODAY_MS + 13.5 * HOUR_MS, () => 20);
  await db.execute(
    "INSERT INTO measurement SELECT $1::timestamptz + i * i * INTERVAL '7 s', $2, 1 FROM generate_series(1, 40) i",
    [new Date(TODAY_MS + 10 * HOUR_MS), sensors.ph],
  );
  await afterRollups(engineAt(NOW_MS));
  const rows = await db.query(
    "SELECT sensor_id = $1 AS regular, n, expected, coverage FROM rollup_1h WHERE bucket >= $2 ORDER BY 1 DESC, bucket",
    [sensors.temperature, new Date(TODAY_MS + 12 * HOUR_MS)],
  );
  expect(rows.slice(0, 2)).toEqual([
    { regular: true, n: 60, expected: 60, coverage: 1 },
    { regular: true, n: 30, expected: 60, coverage: 0.5 },
  ]);
  expect(rows.slice(2).every((row) => row.expected === null && row.coverage === null)).toBe(true);
});

describe("condition percentages", () => {
  const YESTERDAY = TODAY_MS - DAY_MS;
  const zoneId = async (name: string) =>
    (await db.query<{ id: number }>("SELECT id FROM core.zones WHERE name = $1", [name]))[0]?.id ?? 0;
  const assign = async (field: string, zone: string) =>
    db.execute(
      "INSERT INTO crop.zone_sensor_assignments (zone_id, sensor_id, assigned_from) VALUES ($1, $2, '2020-01-01')",
      [await zoneId(zone), sensors[field]],
    );

  test("are shares of the readings: within the range, and more than 20 % of its width beyond it", async () => {
    await seedVarieties(db);
    await assign("temperature", "NFT Channel 1");
    await createBatch(db, {
      variety: "curly_green",
      zoneId: await zoneId("NFT Channel 1"),
      stage: "seedling",
    }); // 18-22
    const values = [18, 22, 20, 22.1, 22.8, 22.9, 17.1, 25];
    await send("temperature", YESTERDAY, YESTERDAY + 8 * MINUTE_MS, (m) => values[m] ?? 0);
    await latest(createDailyJob());
    // optimal 18, 22, 20; stressed 22.1 and 22.8 (not beyond 22 + 0.8); critical 22.9, 17.1, 25
    expect(await days()).toMatchObject([{ optimal: "37.50", critical: "37.50", n: 8 }]);
  });

  test("TRAP: take the widest range of the batches in the sensor's own zone, not of the facility", async () => {
    await seedVarieties(db);
    await assign("temperature", "NFT Channel 1");
    await createBatch(db, {
      variety: "curly_green",
      zoneId: await zoneId("NFT Channel 1"),
      stage: "seedling",
    }); // 18-22
    await createBatch(db, {
      variety: "basil_genovese",
      zoneId: await zoneId("NFT Channel 1"),
      stage: "seedling",
    }); // 20-28
    await createBatch(db, {
      variety: "tomato_cherry",
      zoneId: await zoneId("DWC Tank 1"),
      stage: "fruiting",
    }); // 20-30
    await send("temperature", YESTERDAY, YESTERDAY + 4 * MINUTE_MS, (m) => [17.9, 18, 28, 29][m] ?? 0);
    await latest(createDailyJob());
    expect(await days()).toMatchObject([{ optimal: "50.00", critical: "0.00" }]);
  });

  test("weighted by time they say how long it was so, in columns of their own", async () => {
    await seedVarieties(db);
    await assign("temperature", "NFT Channel 1");
    await createBatch(db, {
      variety: "curly_green",
      zoneId: await zoneId("NFT Channel 1"),
      stage: "seedling",
    });
    // three readings in the first minutes are cold, then one good one holds for the rest of the day
    await send("temperature", YESTERDAY, YESTERDAY + 4 * MINUTE_MS, (m) => (m < 3 ? 10 : 20));
    await latest(createDailyJob());
    expect(await days()).toMatchObject([{ optimal: "25.00", critical: "75.00", tw: "99.79" }]);
  });

  test("TRAP: are NULL without batches, without a range, without readings, and when switched off", async () => {
    await seedVarieties(db);
    await assign("ph", "Nursery Tray A");
    await assign("temperature", "Nursery Tray A");
    await createBatch(db, { variety: "rosso_premium", zoneId: await zoneId("Nursery Tray A") }); // germination: no pH
    await send("ph", YESTERDAY, YESTERDAY + HOUR_MS, () => 6);
    await send("humidity", YESTERDAY, YESTERDAY + HOUR_MS, () => 75); // in no zone
    await latest(createDailyJob());
    expect((await days()).map(({ optimal }) => optimal)).toEqual([null, null]);
    await send("temperature", YESTERDAY, YESTERDAY + HOUR_MS, () => 20);
    await latest(createDailyJob({ conditions: false }));
    expect((await days()).map(({ optimal }) => optimal)).toEqual([null, null, null]);
    await latest(createDailyJob());
    expect((await days()).map(({ optimal }) => optimal)).toEqual(["100.00", null, null]);
  });

  test("seeding varieties twice adds nothing the second time", async () => {
    expect(await seedVarieties(db)).toEqual({ varieties: 6, stages: 30 });
    expect(await seedVarieties(db)).toEqual({ varieties: 0, stages: 0 });
  });
});
