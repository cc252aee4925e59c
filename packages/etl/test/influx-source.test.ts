import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, findWatermark, openDb } from "@sluice/db";
import { afterRollups, createDailyJob, createHourlyJob, type Job, runLatest } from "@sluice/etl";
import { type Influx, openInflux } from "@sluice/influx";
import { useInflux, usePostgres } from "@sluice/testkit";
import { createQuietEngine } from "./quiet-engine.ts";

const HOUR_MS = 3_600_000;
const NOW_MS = Date.UTC(2026, 1, 11, 14, 30);
const FROM_MS = NOW_MS - 2 * 24 * HOUR_MS;

const postgres = usePostgres();
const server = useInflux();
let db: Db;
let influx: Influx;
beforeAll(async () => {
  db = await openDb(postgres.url);
  influx = openInflux({
    url: server.url,
    version: 1,
    bucket: "telemetry",
    username: server.username,
    password: server.password,
  });
  await influx.ensureDatabase();
  await db.execute("INSERT INTO iot.devices (device_code) VALUES ('arduino_1')");
  await db.execute(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type, calibration_offset)
     SELECT id, f, 'number', 0.5 FROM iot.devices, unnest(ARRAY['temperature', 'light_level']) f`,
  );
  // the same readings in both stores, not evenly spaced
  const lines: string[] = [];
  for (let i = 0; i < 2000; i++) {
    const atMs = FROM_MS + Math.floor(i ** 1.001 * 80_000);
    const [temperature, light] = [20 + Math.sin(i) * 3, i];
    lines.push(
      `sensor_reading,sensor_id=arduino_1,source=http_api temperature=${temperature},light_level=${light},note="x" ${atMs * 1000}`,
    );
    await db.execute(
      `INSERT INTO measurement (time, sensor_id, value)
       SELECT $1, id, CASE sensor_code WHEN 'temperature' THEN $2::float8 ELSE $3::float8 END FROM iot.sensors`,
      [new Date(atMs), temperature, light],
    );
  }
  expect(await influx.write(lines)).toEqual([]);
});
afterAll(async () => {
  await influx?.close();
  await db?.close();
});

async function run(job: Job, nowMs = NOW_MS) {
  const engine = createQuietEngine(db, nowMs, { attempts: 1 });
  return runLatest(await afterRollups(engine), job, { lookbackMs: 48 * HOUR_MS });
}

test("InfluxDB and PostgreSQL give the same rows", async () => {
  for (const job of [createHourlyJob(), createDailyJob()])
    expect((await run(job)).changed).toBeGreaterThan(0);
  for (const job of [createHourlyJob({ influx }), createDailyJob({ influx })]) {
    expect(await run(job)).toMatchObject({ failed: [], changed: 0 });
  }
  await db.execute("TRUNCATE bi.hourly_sensor_agg, bi.daily_sensor_agg");
  expect(await run(createHourlyJob({ influx }))).toMatchObject({ changed: 92 });
  expect(await run(createHourlyJob())).toMatchObject({ changed: 0 });
});

test("TRAP 1, TRAP 3: InfluxDB's own hourly figures stand in for readings that are gone, an hour at its start", async () => {
  const hourMs = NOW_MS - 30 * 60_000 - HOUR_MS;
  const figures = "count_ph=60,mean_ph=6.1,min_ph=6,max_ph=6.2,stddev_ph=0.05";
  // the document's own task stamped the end of the window and had no minimum: not what we read
  const documents = `sensor_hourly_avg,sensor_id=arduino_7 ph=9 ${(hourMs + HOUR_MS) * 1000}`;
  const kept = openInflux({
    url: server.url,
    version: 1,
    bucket: "telemetry_hourly",
    username: server.username,
    password: server.password,
  });
  await kept.write([`sensor_hourly,sensor_id=arduino_7 ${figures} ${hourMs * 1000}`, documents]);
  await run(createHourlyJob({ influx }));
  const select = `SELECT a.hour_start AS at, a.avg_value::float8 AS avg, a.stddev_value::float8 AS sd, a.reading_count AS n
                    FROM bi.hourly_sensor_agg a JOIN iot.sensors s ON s.id = a.sensor_id
                    JOIN iot.devices d ON d.id = s.device_id WHERE d.device_code = 'arduino_7'`;
  expect(await db.query(select)).toEqual([{ at: new Date(hourMs), avg: 6.1, sd: 0.05, n: 60 }]);
  await kept.close();
});

test("where InfluxDB's own hourly figures are behind, those of the readings count; the day has its own as well", async () => {
  const hourMs = NOW_MS - 30 * 60_000 - 2 * HOUR_MS;
  const dayMs = Math.floor(NOW_MS / (24 * HOUR_MS) - 1) * 24 * HOUR_MS;
  const access = {
    url: server.url,
    version: 1,
    username: server.username,
    password: server.password,
  } as const;
  const hourly = openInflux({ ...access, bucket: "telemetry_hourly" });
  const daily = openInflux({ ...access, bucket: "telemetry_daily" });
  await influx.write(
    [6, 7, 8].map((v, i) => `sensor_reading,sensor_id=arduino_8 ph=${v} ${(hourMs + i * 60_000) * 1000}`),
  );
  await hourly.write([
    `sensor_hourly,sensor_id=arduino_8 count_ph=2,mean_ph=6.5,min_ph=6,max_ph=7,stddev_ph=0.7 ${hourMs * 1000}`,
  ]);
  await daily.write([
    `sensor_daily,sensor_id=arduino_8 count_ph=9,mean_ph=5,min_ph=4,max_ph=6,stddev_ph=1 ${dayMs * 1000}`,
  ]);
  await run(createHourlyJob({ influx }));
  await run(createDailyJob({ influx }), NOW_MS + 12 * HOUR_MS);
  const of = (table: string) =>
    db.query(`SELECT a.avg_value::float8 AS avg, a.reading_count AS n FROM ${table} a
                JOIN iot.sensors s ON s.id = a.sensor_id JOIN iot.devices d ON d.id = s.device_id
               WHERE d.device_code = 'arduino_8' ORDER BY a.id`);
  expect(await of("bi.hourly_sensor_agg")).toEqual([{ avg: 7, n: 3 }]);
  expect(await of("bi.daily_sensor_agg")).toEqual([
    { avg: 5, n: 9 },
    { avg: 7, n: 3 },
  ]);
  await hourly.close();
  await daily.close();
});

test("devices and sensors that only InfluxDB knows are registered with their type", async () => {
  await influx.write([
    `sensor_reading,sensor_id=arduino_9 ph=6.1,water_temp=19 ${(NOW_MS - HOUR_MS) * 1000}`,
  ]);
  await run(createHourlyJob({ influx }));
  const rows = await db.query(
    `SELECT s.sensor_code, st.name, d.device_code FROM iot.sensors s
       JOIN iot.sensor_types st ON s.sensor_type_id = st.id JOIN iot.devices d ON s.device_id = d.id
      WHERE d.device_code = 'arduino_9' ORDER BY 1`,
  );
  expect(rows).toEqual([
    { sensor_code: "ph", name: "PH_SENSOR", device_code: "arduino_9" },
    { sensor_code: "water_temp", name: "WATER_TEMP", device_code: "arduino_9" },
  ]);
});

test("TRAP 2: where InfluxDB gives no rows the watermark stays, and an outage fails the window", async () => {
  const job = createHourlyJob({ influx });
  const before = await findWatermark(db, job.watermarkKey);
  await run(job, NOW_MS + 100 * HOUR_MS);
  const nothing = await findWatermark(db, job.watermarkKey);
  await server.stop();
  expect((await run(job, NOW_MS + 101 * HOUR_MS)).failed.length).toBeGreaterThan(0);
  expect([nothing, await findWatermark(db, job.watermarkKey)]).toEqual([before, before]);
});
