import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, enablePack, openDb } from "@sluice/db";
import {
  afterRollups,
  createJobs,
  createPacksJob,
  MACHINE_SCRIPTS,
  runBackfill,
  runLatest,
} from "@sluice/etl";
import { PRODUCT_JOBS, readPacks } from "@sluice/packs";
import { usePostgres } from "@sluice/testkit";
import { createQuietEngine } from "./quiet-engine.ts";

const HOUR_MS = 3_600_000;
const TODAY_MS = Date.UTC(2026, 1, 11);
const NOW_MS = TODAY_MS + 6.5 * HOUR_MS;
const PACKS = fileURLToPath(new URL("../../../packs", import.meta.url));

const postgres = usePostgres();
let db: Db;
let folder: string;
beforeAll(async () => {
  db = await openDb(postgres.url);
  folder = await mkdtemp(join(tmpdir(), "sluice packs "));
});
afterAll(async () => {
  await db?.close();
  await rm(folder, { recursive: true });
});

const engine = () => createQuietEngine(db, NOW_MS);

/** One value a minute. */
async function send(
  device: string,
  field: string,
  fromMs: number,
  minutes: number,
  value: number,
): Promise<void> {
  await db.execute(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type) SELECT id, $2, 'number' FROM iot.devices WHERE device_code = $1
     ON CONFLICT (device_id, sensor_code) DO NOTHING`,
    [device, field],
  );
  await db.execute(
    `WITH sent AS (INSERT INTO measurement (sensor_id, time, value)
       SELECT s.id, t, $5 FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id,
              generate_series($3::timestamptz, $3::timestamptz + ($4 - 1) * INTERVAL '1 minute', INTERVAL '1 minute') t
        WHERE d.device_code = $1 AND s.sensor_code = $2 RETURNING sensor_id, time)
     SELECT mark_rollup_rebuild(sensor_id, min(time), max(time) + INTERVAL '1 minute') FROM sent GROUP BY sensor_id`,
    [device, field, new Date(fromMs), minutes, value],
  );
}

const metrics = () =>
  db.query<{ start: Date; metric: string; value: number }>(
    "SELECT bucket_start AS start, metric, round(value::numeric, 6)::float8 AS value FROM bi.pack_metric ORDER BY metric, bucket_start",
  );

test("a fifth domain is a folder: sensor types, units, rules and a job, without a line of code", async () => {
  await cp(join(PACKS, "cea"), join(folder, "cold-room"), { recursive: true });
  const path = join(folder, "cold-room", "pack.json");
  const cea = JSON.parse(await readFile(path, "utf8"));
  await writeFile(
    path,
    JSON.stringify({
      ...cea,
      name: "cold-room",
      deviceTypes: ["cold_room"],
      jobs: [
        {
          name: "cold-hours",
          bucket: "1h",
          metrics: [{ name: "warmest", field: "dry_bulb", figure: "max", unit: "°C" }],
        },
        {
          name: "cold-days",
          bucket: "1d",
          metrics: [{ name: "degree_hours", field: "dry_bulb", figure: "integral", scale: 1 / 3600 }],
        },
      ],
      alertRules: [{ name: "Too warm", sensorType: "PT100", condition: "above", threshold: 5 }],
    }),
  );
  const [pack] = await readPacks(folder);
  if (!pack) throw new Error("there is no pack");
  await db.execute(
    "INSERT INTO iot.devices (device_code, device_type) VALUES ('room_1', 'cold_room'), ('other', 'esp32')",
  );
  await send("room_1", "dry_bulb", TODAY_MS, 1, 3); // there before the pack
  for (let i = 0; i < 2; i++) await enablePack(db, pack);
  await send("room_1", "rh", TODAY_MS, 1, 80);
  await send("other", "rh", TODAY_MS, 1, 80);
  const typed = await db.query(
    `SELECT d.device_code AS device, s.sensor_code AS field, s.unit, t.name AS type FROM iot.sensors s
       JOIN iot.devices d ON d.id = s.device_id LEFT JOIN iot.sensor_types t ON t.id = s.sensor_type_id ORDER BY 1, 2`,
  );
  expect(typed).toEqual([
    { device: "other", field: "rh", unit: null, type: null },
    { device: "room_1", field: "dry_bulb", unit: "°C", type: "PT100" },
    { device: "room_1", field: "rh", unit: "%", type: "CEA_HUMIDITY" },
  ]);
  expect(await db.query("SELECT name, threshold::float8 FROM alert.rules")).toEqual([
    { name: "Too warm", threshold: 5 },
  ]);
});

test("its job computes hours and days, again without a change, and what comes late changes them", async () => {
  await send("room_1", "dry_bulb", TODAY_MS - 24 * HOUR_MS, 24 * 60, 2);
  await send("room_1", "dry_bulb", TODAY_MS + 60_000, 119, 4);
  const job = createPacksJob();
  await runBackfill(await afterRollups(engine()), job, 1);
  const hours = (await metrics()).filter(({ metric }) => metric === "warmest").map(({ value }) => value);
  expect(hours).toEqual([...Array(24).fill(2), 4, 4]);
  expect(
    (await metrics()).filter(({ metric }) => metric === "degree_hours").map(({ value }) => value),
  ).toEqual([48]);
  expect(await runBackfill(await afterRollups(engine()), job, 1)).toMatchObject({ changed: 0 });
  await runLatest(await afterRollups(engine()), job);
  await send("room_1", "dry_bulb", TODAY_MS - 20 * HOUR_MS + 30_000, 60, 12);
  await runLatest(await afterRollups(engine()), job);
  const [day] = (await metrics()).filter(({ metric }) => metric === "degree_hours");
  expect(day?.value).toBeCloseTo(48 + 5, 1);
});

test("packs may name the jobs that there are, and no others", () => {
  const names = [...createJobs(), ...MACHINE_SCRIPTS].map(({ name }) => name);
  expect(PRODUCT_JOBS).toEqual(names);
});
