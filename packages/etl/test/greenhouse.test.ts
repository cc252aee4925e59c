import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { afterRollups, createDailyJob, createHourlyJob, runBackfill } from "@sluice/etl";
import { usePostgres } from "@sluice/testkit";
import { createQuietEngine } from "./quiet-engine.ts";

const DATA = resolve(process.env.SLUICE_SAMPLE_DATA ?? "../shared/data", "greenhouse");
const FILES = ["330-days-every-hour.csv", "one-month-every-5-minutes.csv"];
const HOUR_MS = 3_600_000;
const ZONE = "Europe/Amsterdam";

const postgres = usePostgres();
let db: Db;
beforeAll(async () => {
  db = await openDb(postgres.url, { max: 6 });
});
afterAll(() => db?.close());

interface Cell {
  column: number;
  /** Local time as it stands in the file, and which of two equal ones it is. */
  local: string;
  second: boolean;
  value: number;
}

/** The cells with a number, read without any of the importer's code. */
function readCells(file: string): Cell[] {
  const seen = new Set<string>();
  return readFileSync(resolve(DATA, file), "utf8")
    .split(/\r?\n/)
    .slice(1)
    .flatMap((line) => {
      const [local = "", ...cells] = line.split(",");
      if (!/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(local)) return [];
      const second = seen.has(local);
      seen.add(local);
      return cells.flatMap((cell, column) =>
        cell.trim() === "" || !Number.isFinite(Number(cell))
          ? []
          : [{ column, local, second, value: Number(cell) }],
      );
    });
}

/** An hour that happens twice is read as standard time; where a row comes twice, the first one is an hour earlier. */
async function store(cells: readonly Cell[], device: string): Promise<number[]> {
  const twice = new Set(cells.filter(({ second }) => second).map(({ local }) => local));
  await db.execute(`UPDATE core.facilities SET timezone = $1`, [ZONE]);
  const columns = cells.reduce((most, { column }) => Math.max(most, column + 1), 0);
  await db.execute("INSERT INTO iot.devices (device_code) VALUES ($1)", [device]);
  const sensors = await db.query<{ id: number }>(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type)
     SELECT d.id, 'c' || i, 'number' FROM iot.devices d, generate_series(1, $2::int) AS i WHERE d.device_code = $1
     RETURNING id`,
    [device, columns],
  );
  await db.execute(
    `INSERT INTO measurement (sensor_id, time, value)
     SELECT s, (t::timestamp AT TIME ZONE $4) - CASE WHEN early THEN INTERVAL '1 hour' ELSE INTERVAL '0' END, v
       FROM unnest($1::int[], $2::text[], $3::float8[], $5::bool[]) AS n(s, t, v, early)`,
    [
      cells.map(({ column }) => sensors[column]?.id),
      cells.map(({ local }) => local),
      cells.map(({ value }) => value),
      ZONE,
      cells.map(({ local, second }) => twice.has(local) && !second),
    ],
  );
  return sensors.map(({ id }) => id);
}

const engineAt = (nowMs: number) => createQuietEngine(db, nowMs);

for (const file of FILES.filter((name) => existsSync(resolve(DATA, name)))) {
  test(`${file}: days in ${ZONE} equal an independent computation, and a backfill of 30 days leaves nothing out`, async () => {
    await db.execute(
      "TRUNCATE measurement, rollup_watermark, rollup_dirty, rollup_5m, rollup_1h, rollup_1d CASCADE",
    );
    const cells = readCells(file);
    const sensors = await store(cells, file.slice(0, 10));
    const lastLocal =
      cells
        .map(({ local }) => local)
        .sort()
        .at(-1) ?? "";
    const lastMs = Date.parse(`${lastLocal.replace(" ", "T")}Z`);
    const nowMs = lastMs + 26 * HOUR_MS;
    const engine = await afterRollups(engineAt(nowMs));

    const wanted = new Map<string, { n: number; sum: number; min: number; max: number }>();
    for (const { column, local, value } of cells) {
      const key = `${sensors[column]} ${local.slice(0, 10)}`;
      const day = wanted.get(key) ?? {
        n: 0,
        sum: 0,
        min: Number.POSITIVE_INFINITY,
        max: Number.NEGATIVE_INFINITY,
      };
      wanted.set(key, {
        n: day.n + 1,
        sum: day.sum + value,
        min: Math.min(day.min, value),
        max: Math.max(day.max, value),
      });
    }
    const days = await db.query<{
      key: string;
      n: number;
      sum: number;
      mean: number;
      min: number;
      max: number;
    }>("SELECT sensor_id || ' ' || day AS key, n, sum, mean, min, max FROM rollup_1d WHERE n > 0");
    expect(days).toHaveLength(wanted.size);
    const differing = days.filter(({ key, n, sum, mean, min, max }) => {
      const day = wanted.get(key);
      if (!day || day.n !== n || day.min !== min || day.max !== max) return true;
      const near = (a: number, b: number) => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b));
      return !near(sum, day.sum) || !near(mean, day.sum / day.n);
    });
    expect(differing).toEqual([]);

    const hourly = await runBackfill(engine, createHourlyJob(), 30);
    const daily = await runBackfill(engine, createDailyJob({ zone: ZONE }), 30);
    expect([...hourly.failed, ...daily.failed]).toEqual([]);
    expect([hourly.rows > 0, hourly.busy + daily.busy]).toEqual([true, 0]);
  });
}

test("the sample files are looked for where SLUICE_SAMPLE_DATA says", () => {
  expect(DATA.endsWith("greenhouse")).toBe(true);
});
