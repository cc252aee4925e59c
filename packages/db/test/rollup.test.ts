import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { siteDays } from "@sluice/analytics";
import {
  type Db,
  findRollupProgress,
  holdWatermark,
  markDirty,
  moveRollupMark,
  openDb,
  repairRollups,
  rollForward,
} from "@sluice/db";
import { usePostgres } from "@sluice/testkit";
import fc from "fast-check";
import { type ExpectedRow, recompute, type SensorSettings } from "./recompute-rollups.ts";

const postgres = usePostgres();
let db: Db;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Three days around the end of summer time in Lisbon: the middle one has 25 hours. */
const BASE_MS = Date.UTC(2026, 9, 23, 20);
const SPAN_MS = 80 * HOUR_MS;
const SENSORS: SensorSettings[] = [
  { zone: "Europe/Lisbon" },
  { zone: "Asia/Kathmandu", maxHoldMs: 7 * MINUTE_MS, intervalMs: 10_000 },
  { zone: "Asia/Kathmandu" },
];
let ids: number[] = [];

beforeAll(async () => {
  db = await openDb(postgres.url, { max: 10 });
  await db.execute(
    "INSERT INTO core.facilities (organization_id, name, timezone) SELECT id, 'Far', 'Asia/Kathmandu' FROM core.organizations",
  );
  ids = [];
  for (const [i, { zone, maxHoldMs, intervalMs }] of SENSORS.entries()) {
    const [row] = await db.query<{ id: number }>(
      `WITH device AS (INSERT INTO iot.devices (device_code, facility_id)
                       SELECT $1, id FROM core.facilities WHERE timezone = $2 RETURNING id)
       INSERT INTO iot.sensors (device_id, sensor_code, value_type, max_hold, sample_interval)
       SELECT id, 'v', 'number', $3::float8 * INTERVAL '1 ms', $4::float8 * INTERVAL '1 ms' FROM device RETURNING id`,
      [`d${i}`, zone, maxHoldMs ?? null, intervalMs ?? null],
    );
    ids.push(row?.id ?? 0);
  }
});
afterAll(() => db?.close());
beforeEach(reset);

async function reset(): Promise<void> {
  await db.execute(
    "TRUNCATE measurement, rollup_watermark, rollup_dirty, rollup_5m, rollup_1h, rollup_1d, core.system_config",
  );
}

interface Row {
  sensor: number;
  atMs: number;
  value: number | null;
}

/** Adds rows as a writer does: keys that are there already stay as they are. `meanwhile` runs before the commit. */
async function write(
  rows: readonly Row[],
  how: "add" | "correct" | "delete" = "add",
  meanwhile: () => Promise<void> = async () => {},
): Promise<void> {
  const sorted = [...new Map(rows.map((row) => [`${row.sensor}/${row.atMs}`, row])).values()].sort(
    (a, b) => a.sensor - b.sensor || a.atMs - b.atMs,
  );
  await db.transaction(async (tx) => {
    const watermarkUs = await holdWatermark(tx);
    const params = [
      sorted.map(({ sensor }) => ids[sensor]),
      sorted.map(({ atMs }) => new Date(atMs)),
      sorted.map(({ value }) => value),
    ];
    if (how === "delete") {
      await tx.execute(
        `DELETE FROM measurement m USING unnest($1::int[], $2::timestamptz[]) AS r (s, t)
          WHERE m.sensor_id = s AND m.time = t`,
        params.slice(0, 2),
      );
    } else {
      await tx.execute(
        `INSERT INTO measurement (sensor_id, time, value, status)
         SELECT s, t, v, CASE WHEN v IS NULL THEN 'error' ELSE 'ok' END
           FROM unnest($1::int[], $2::timestamptz[], $3::float8[]) AS r (s, t, v) ON CONFLICT (sensor_id, time)
         DO ${how === "add" ? "NOTHING" : "UPDATE SET value = excluded.value, status = excluded.status"}`,
        params,
      );
    }
    const late = sorted.filter(({ atMs }) => atMs * 1000 < watermarkUs);
    await markDirty(
      tx,
      late.map(({ sensor, atMs }) => ({
        sensorId: ids[sensor] ?? 0,
        fromUs: atMs * 1000,
        toUs: atMs * 1000,
      })),
    );
    await meanwhile();
  });
}

async function roll(toMs: number): Promise<void> {
  await moveRollupMark(db, toMs);
  while ((await rollForward(db, siteDays, { maxWindowMs: 5 * HOUR_MS, piece: 20 })).more);
  await repairRollups(db, siteDays);
}

async function finish(toMs: number): Promise<void> {
  await roll(toMs);
  while ((await repairRollups(db, siteDays)).more);
}

type StoredRow = ExpectedRow & { late: number; coverage: number | null };

async function stored(level: string): Promise<StoredRow[]> {
  const rows = await db.query<StoredRow & { bucket: Date; sensorId: number; firstAt: Date; lastAt: Date }>(
    `SELECT sensor_id AS "sensorId", bucket, n, sum, mean, m2, min, max, first, first_time AS "firstAt", last,
            last_time AS "lastAt", ended, held_seconds AS "heldSeconds", time_weighted_avg AS "timeWeightedAvg",
            expected, coverage, late FROM ${level} ORDER BY sensor_id, bucket`,
  );
  return rows.map(({ sensorId, bucket, firstAt, lastAt, ...row }) => ({
    ...row,
    key: `${sensorId}/${bucket.toISOString()}`,
    firstMs: firstAt?.getTime() ?? null,
    lastMs: lastAt?.getTime() ?? null,
  }));
}

async function readings(): Promise<{ sensorId: number; atMs: number; value: number | null }[]> {
  const rows = await db.query<{ sensor_id: number; time: Date; value: number | null }>(
    "SELECT sensor_id, time, value FROM measurement ORDER BY sensor_id, time",
  );
  return rows.map((row) => ({ sensorId: row.sensor_id, atMs: row.time.getTime(), value: row.value }));
}

async function expectExact(doneMs: number): Promise<void> {
  const raw = await readings();
  for (const level of ["rollup_5m", "rollup_1h", "rollup_1d"] as const) {
    const expected = SENSORS.flatMap((settings, i) =>
      recompute(
        level,
        raw.filter(({ sensorId }) => sensorId === ids[i]),
        settings,
        doneMs,
      ),
    );
    const found = await stored(level);
    expect(found.map(({ key }) => key)).toEqual(expected.map(({ key }) => key));
    for (const [i, row] of expected.entries()) {
      const { late, coverage, ...other } = found[i] as StoredRow;
      expect({ level, ...near(other, row) }).toEqual({ level, ...row });
      expect(late).toBeGreaterThanOrEqual(0);
      expect(coverage).toEqual(row.expected === null ? null : Math.min(1, row.n / row.expected));
    }
  }
}

/** The order of additions differs: where a figure is within rounding of the other it is put in its place. */
const near = (found: object, expected: object): object =>
  Object.fromEntries(
    Object.entries(found).map(([name, value]) => {
      const other = (expected as Record<string, unknown>)[name];
      const close =
        typeof value === "number" &&
        typeof other === "number" &&
        Math.abs(value - other) <= 1e-9 * Math.max(1, Math.abs(other));
      return [name, close ? other : value];
    }),
  );

const row = fc.record({
  sensor: fc.nat(SENSORS.length - 1),
  atMs: fc
    .oneof(
      fc.nat(SPAN_MS / 1000),
      fc.nat(SPAN_MS / 300_000).map((bucket) => bucket * 300),
      fc.integer({ min: 0, max: 900 }).map((second) => 100_000 + second),
    )
    .map((second) => BASE_MS + second * 1000),
  value: fc.option(
    fc.integer({ min: -400, max: 400 }).map((n) => 1000 + n / 4),
    { freq: 8 },
  ),
});
const action = fc.record({
  how: fc.constantFrom("add", "add", "add", "add", "correct", "delete"),
  rows: fc.array(row, { minLength: 1, maxLength: 12 }),
});

describe("rollups", () => {
  test("equal a recomputation from scratch whatever concurrent writers add, correct and delete", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(action, { maxLength: 10 }), { minLength: 3, maxLength: 3 }),
        fc.array(fc.nat(SPAN_MS), { minLength: 1, maxLength: 6 }),
        async (writers, marks) => {
          await reset();
          const past: Row[] = [];
          const roller = async () => {
            for (const mark of marks.sort((a, b) => a - b)) await roll(BASE_MS + mark);
          };
          const writer = async (actions: (typeof writers)[number]) => {
            for (const { how, rows } of actions) {
              // corrections and deletions go for rows that are there
              const chosen =
                how === "add"
                  ? rows
                  : rows.map((r) => ({ ...(past[r.atMs % past.length] ?? r), value: r.value }));
              await write(chosen, how as "add");
              past.push(...chosen);
            }
          };
          await Promise.all([roller(), ...writers.map(writer)]);
          await finish(BASE_MS + SPAN_MS);
          expect((await findRollupProgress(db)).dirty).toBe(0);
          await expectExact(BASE_MS + SPAN_MS);
        },
      ),
      { numRuns: 25, endOnFailure: true },
    );
  });

  test("a reading later than any window changes its own bucket and the carried value, and nothing else", async () => {
    await write([
      { sensor: 0, atMs: BASE_MS + 60_000, value: 1 },
      { sensor: 0, atMs: BASE_MS + 50 * HOUR_MS + 90_000, value: 5 },
      { sensor: 2, atMs: BASE_MS + 60_000, value: 9 },
    ]);
    await finish(BASE_MS + SPAN_MS);
    const versions = () =>
      db.query<{ key: string }>(
        "SELECT sensor_id || '/' || bucket AS key, xmin::text FROM rollup_5m ORDER BY 1",
      );
    const before = await versions();
    await write([{ sensor: 0, atMs: BASE_MS + HOUR_MS, value: 3 }]);
    await finish(BASE_MS + SPAN_MS);
    await expectExact(BASE_MS + SPAN_MS);
    const after = await versions();
    const kept = after.filter((now) => before.some((was) => JSON.stringify(was) === JSON.stringify(now)));
    expect([before.length, after.length, kept.length]).toEqual([3, 4, 2]);
    expect((await stored("rollup_5m")).map(({ late }) => late)).toEqual([0, 1, 0, 0]);
    expect((await stored("rollup_1d")).map(({ late }) => late)).toEqual([1, 0, 0]);
  });

  test("a value carried over a reading that another writer takes away meanwhile reaches the reading after it", async () => {
    const next = { sensor: 0, atMs: BASE_MS + HOUR_MS, value: 5 };
    await write([
      { sensor: 0, atMs: BASE_MS, value: 1 },
      next,
      { sensor: 0, atMs: BASE_MS + 2 * HOUR_MS + 90_000, value: 9 },
    ]);
    await finish(BASE_MS + SPAN_MS);
    await write([{ sensor: 0, atMs: BASE_MS + HOUR_MS / 2, value: 3 }], "add", async () => {
      await write([next], "delete");
      while ((await repairRollups(db, siteDays)).more);
    });
    await finish(BASE_MS + SPAN_MS);
    await expectExact(BASE_MS + SPAN_MS);
  });

  test("days have 23, 24 or 25 hours as the facility's zone has them", async () => {
    const everyHour = Array.from({ length: 80 }, (_, i) => ({
      sensor: 0,
      atMs: BASE_MS + i * HOUR_MS,
      value: i,
    }));
    await write(everyHour);
    await finish(BASE_MS + SPAN_MS);
    const days = await db.query("SELECT day::text, n FROM rollup_1d ORDER BY day");
    expect(days).toEqual([
      { day: "2026-10-23", n: 3 },
      { day: "2026-10-24", n: 24 },
      { day: "2026-10-25", n: 25 },
      { day: "2026-10-26", n: 24 },
    ]);
  });

  test("days are cut anew when the facility moves to another zone", async () => {
    await write(Array.from({ length: 80 }, (_, i) => ({ sensor: 0, atMs: BASE_MS + i * HOUR_MS, value: i })));
    await finish(BASE_MS + SPAN_MS);
    await db.execute(
      "UPDATE core.facilities SET timezone = 'Australia/Adelaide' WHERE timezone = 'Europe/Lisbon'",
    );
    await finish(BASE_MS + SPAN_MS);
    const days = await db.query("SELECT day::text, n, late FROM rollup_1d ORDER BY day");
    await db.execute(
      "UPDATE core.facilities SET timezone = 'Europe/Lisbon' WHERE timezone = 'Australia/Adelaide'",
    );
    expect(days).toEqual([
      { day: "2026-10-24", n: 18, late: 0 },
      { day: "2026-10-25", n: 24, late: 0 },
      { day: "2026-10-26", n: 24, late: 0 },
    ]);
  });

  test("a facility cannot be put in a zone that does not exist", async () => {
    await expect(db.execute("UPDATE core.facilities SET timezone = 'Europe/Atlantis'")).rejects.toThrow(
      /time zone/,
    );
  });

  test("values whose squares no computer holds count as errors and stop nothing", async () => {
    const values = [1, 1e308, -1e308, 1e200, 2, Number.NaN, Number.POSITIVE_INFINITY, 3];
    await write(values.map((value, i) => ({ sensor: 0, atMs: BASE_MS + i * 10_000, value })));
    await write([{ sensor: 2, atMs: BASE_MS, value: 5 }]);
    await finish(BASE_MS + SPAN_MS);
    const hours = await stored("rollup_1h");
    expect(hours.map(({ n, sum, max, last }) => [n, sum, max, last])).toEqual([
      [3, 6, 3, 3],
      [1, 5, 5, 5],
    ]);
  });

  test("variance survives values far from zero", async () => {
    const rows = Array.from({ length: 300 }, (_, i) => ({
      sensor: 2,
      atMs: BASE_MS + i * 10_000,
      value: 1e9 + (i % 2) * 0.5,
    }));
    await write(rows);
    await finish(BASE_MS + SPAN_MS);
    for (const { m2, n } of await stored("rollup_1h")) expect((m2 ?? 0) / n).toBeCloseTo(0.0625, 9);
  });
});
