import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { usePostgres } from "@sluice/testkit";
import { run } from "../src/run.ts";

const own = usePostgres();
const document = usePostgres({ empty: true });
const aggregation = usePostgres({ empty: true });
const folder = mkdtempSync(join(tmpdir(), "sluice-machines-"));
let target: Db;
beforeAll(async () => {
  const source = await openDb(document.url, { max: 1 });
  await source.query(`
    CREATE TABLE variable (id INTEGER, name TEXT, datatype TEXT);
    CREATE TABLE variable_log_float (id_var INTEGER, date BIGINT, value REAL);
    CREATE TABLE variable_log_string (id_var INTEGER, date BIGINT, value TEXT);
    INSERT INTO variable VALUES (447, 'ALARMS', 'java.lang.String'), (544, 'SPINDLE_LOAD_1', 'java.lang.Float'),
      (581, 'PROG_STATUS', 'java.lang.Float'), (651, 'TEMPERATURA_BASE', 'java.lang.Float');
    INSERT INTO variable_log_float
    SELECT id, extract(epoch FROM day + time) * 1000, value
      FROM generate_series(TIMESTAMPTZ '2022-02-01Z', '2022-02-05Z', '1 day') AS day,
           (VALUES (INTERVAL '8 h', 50), ('9 h', 'NaN'::real)) AS t (time, value), unnest(ARRAY[544, 581, 651]) AS id;
    INSERT INTO variable_log_string
    SELECT 447, extract(epoch FROM day) * 1000, '[["1", "Spindle fault", "", "", 0]]'
      FROM generate_series(TIMESTAMPTZ '2022-02-01Z', '2022-02-05Z', '1 day') AS day`);
  await source.close();
  target = await openDb(aggregation.url, { max: 1 });
});
afterAll(async () => {
  await target?.close();
  rmSync(folder, { recursive: true });
});

/** Runs one command line as a user does, in this process: a new one for each costs seconds. */
async function sluice(
  args: string[],
  withSource = true,
): Promise<{ code: number; out: string; err: string }> {
  const { hostname, port, username, password, pathname } = new URL(document.url);
  const source = {
    DB_HOST: hostname,
    DB_PORT: port,
    DB_USER: username,
    DB_PASSWORD: password,
    DB_NAME: pathname.slice(1),
    AGG_DB_NAME: new URL(aggregation.url).pathname.slice(1),
  };
  for (const name of Object.keys(source)) delete process.env[name];
  Object.assign(
    process.env,
    { DATABASE_URL: own.url, REDIS_URL: "redis://127.0.0.1:1" },
    withSource && source,
  );
  const said = { out: "", err: "" };
  const listen = (stream: NodeJS.WriteStream, to: "out" | "err") =>
    jest.spyOn(stream, "write").mockImplementation((text) => {
      said[to] += String(text);
      return true;
    });
  const spies = [listen(process.stdout, "out"), listen(process.stderr, "err")];
  try {
    const code = await run(["--data-dir", folder, ...args]);
    return { code, ...said };
  } finally {
    for (const spy of spies) spy.mockRestore();
    process.exitCode = undefined;
  }
}

const days = async (table: string, column: string) =>
  (
    await target.query<{ day: string }>(
      `SELECT DISTINCT to_char(${column}, 'DD') AS day FROM ${table} ORDER BY 1`,
    )
  ).map(({ day }) => day);

test("each of the five names runs for a day, a range, or everything, and again without a change", async () => {
  const dry = await sluice(["etl", "run", "etl_agg_alerts", "2022-02-03", "--dry-run"]);
  expect(dry.out).toContain("alerts_detail: 1 rows to insert, 0 to change, 0 to take away");
  expect(await days("alerts_detail", "day")).toEqual([]);
  const [token = ""] = /etl-agg-alerts-machine-1-\S+/.exec(dry.out) ?? [];
  expect(await sluice(["etl", "run", "etl_agg_alerts", "--apply", token])).toMatchObject({
    code: 0,
    out: "applied: 3 rows\n",
  });
  expect(await sluice(["etl", "run", "etl_agg_alerts", "2022-02-03"])).toMatchObject({
    code: 0,
    out: "etl-agg-alerts-machine-1: 1 windows, 3 rows, 0 inserted or changed\n",
  });
  expect(await days("alerts_detail", "day")).toEqual(["03"]);
  expect(await sluice(["etl", "run", "etl_agg_energy_daily", "2022-02-02", "2022-02-04"])).toMatchObject({
    code: 0,
  });
  expect(await days("energy_consumption_hourly", "hour_ts")).toEqual(["02", "03", "04"]);
  for (const name of ["etl_agg_sensor_stats", "etl_agg_utilization", "etl_agg_program_history"])
    expect(await sluice(["etl", "run", name])).toMatchObject({ code: 0 });
  for (const [table, column] of [
    ["agg_sensor_stats", "dt"],
    ["agg_machine_activity_daily", "dt"],
    ["machine_program_data", "dt"],
  ] as const)
    expect(await days(table, column)).toHaveLength(5);
  const again = await sluice(["etl", "run", "etl_agg_sensor_stats", "--json"]);
  expect(JSON.parse(again.out).results).toMatchObject([{ changed: 0, failed: [] }]);
});

test("TRAP: the daily runner fills what each job has left out, and its exit code tells of a job that failed", async () => {
  expect(await sluice(["etl", "run", "etl_daily_runner"])).toMatchObject({ code: 0 });
  expect(await days("alerts_detail", "day")).toHaveLength(5);
  expect(await days("energy_consumption_hourly", "hour_ts")).toHaveLength(5);
  await target.query("ALTER TABLE energy_consumption_hourly RENAME TO gone");
  expect(await sluice(["etl", "run", "etl_daily_runner", "2022-02-01"])).toMatchObject({ code: 1 });
  await target.query("ALTER TABLE gone RENAME TO energy_consumption_hourly");
});

test("asked wrongly is 2: no day, days the wrong way round, another job's flags; no source is 1", async () => {
  const answers = [];
  for (const args of [
    ["etl_agg_alerts", "2022-02-30"],
    ["etl_agg_alerts", "2022-02-03", "2022-02-01"],
    ["etl_agg_alerts", "--days", "3"],
    ["hourly", "2022-02-03"],
    ["etl_agg_everything"],
  ])
    answers.push(await sluice(["etl", "run", ...args]));
  answers.push(await sluice(["etl", "run", "etl_agg_alerts"], false));
  expect(answers.map(({ code }) => code)).toEqual([2, 2, 2, 2, 2, 1]);
  expect(answers[5]?.err).toContain("no machine has a log: set DB_HOST");
});

test("machines are made, given variables, and listed", async () => {
  await sluice(["machines", "put", "machine-2", "--name", "Second", "--source-variables", "1-3,544"]);
  await sluice(["machines", "role", "machine-2", "sensor", "SPINDLE_LOAD_1=0.5"]);
  expect((await sluice(["machines"])).out).toBe(
    "machine-1  Machine 1, from the source database\n" +
      "machine-2  Second, from the source database, 4 variables; sensor SPINDLE_LOAD_1 × 0.5\n",
  );
  expect(await sluice(["machines", "put", "Machine 3"])).toMatchObject({ code: 2 });
  expect(await sluice(["etl", "run", "etl_agg_sensor_stats", "--machine", "machine-2"])).toMatchObject({
    code: 0,
  });
  expect(
    await target.query(
      "SELECT DISTINCT sensor_name AS name, avg_value AS avg FROM agg_sensor_stats WHERE machine_id = 'machine-2'",
    ),
  ).toEqual([{ name: "SPINDLE_LOAD_1", avg: 25 }]);
});
