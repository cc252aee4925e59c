import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { openKeyValue } from "@sluice/bus";
import { type Db, openDb } from "@sluice/db";
import {
  type BigQueryRow,
  type BigQueryServer,
  startBigQuery,
  usePostgres,
  useRedis,
  waitFor,
} from "@sluice/testkit";

const HOUR_MS = 3_600_000;
const NOW_MS = Date.now();
const iso = (agoMs: number) => new Date(Math.floor((NOW_MS - agoMs) / 60_000) * 60_000).toISOString();

const postgres = usePostgres();
const redis = useRedis();
let db: Db;
let bigQuery: BigQueryServer;
const stops: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  db = await openDb(postgres.url);
  const rows: BigQueryRow[] = [3, 2.5, 2, 1.5, 1].map((hours) => [
    iso(hours * HOUR_MS),
    "DIST_1",
    "One",
    20,
    4,
    12,
    null,
    0.9,
  ]);
  rows.push(
    [iso(-48 * HOUR_MS), "DIST_1", "One", 999, 4, 12, null, 0.9],
    [iso(2 * HOUR_MS), "no device id!", null, 1],
  );
  bigQuery = await startBigQuery("water.water_infrastructure.sensor_readings_ml", rows);
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});
afterAll(async () => {
  await bigQuery?.stop();
  await db?.close();
});

/** A service with only what it reads. */
function start(service: string, env: Record<string, string>): void {
  const program = fileURLToPath(new URL(`../../${service}/src/main.ts`, import.meta.url));
  const child = spawn(process.execPath, ["--conditions=source", "--import", "tsx", program], {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.url,
      LOG_LEVEL: "error",
      ...env,
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const ended = once(child, "exit");
  stops.push(() => {
    child.kill("SIGTERM");
    return ended;
  });
}

test("a cycle reads BigQuery through the bus, computes, and refreshes the cache; the future waits", async () => {
  start("stream-worker", { SLUICE_SINKS: "postgres", SLUICE_ALLOW_UNSAFE: "true" });
  start("etl-scheduler", {
    ETL_ENABLED: "true",
    BIGQUERY_PROJECT_ID: "water",
    BIGQUERY_ENDPOINT: bigQuery.url,
    GOOGLE_APPLICATION_CREDENTIALS: bigQuery.credentialsPath,
  });
  const beat = () =>
    db.query<{ component: string; status: string }>(
      "SELECT component, status FROM water_infrastructure.system_heartbeat ORDER BY 1",
    );
  await waitFor(async () => (await beat()).length === 2, { what: "a cycle", timeoutMs: 60_000 });
  expect(await beat()).toEqual([
    { component: "bigquery", status: "healthy" },
    { component: "processing", status: "healthy" },
  ]);
  const readings = await db.query("SELECT flow_rate, pressure FROM water_infrastructure.sensor_readings");
  expect(readings).toEqual(Array(5).fill({ flow_rate: 20, pressure: 4 }));
  const hours = await db.query(
    "SELECT FROM water_infrastructure.computed_metrics WHERE time_window = '1hour'",
  );
  expect(hours.length).toBeGreaterThan(0);
  const keyValue = await openKeyValue(redis.url);
  stops.push(() => keyValue.close());
  for (const key of [
    "node:DIST_1:latest",
    "node:DIST_1:metrics:24h",
    "system:metrics:24h",
    "anomalies:recent",
  ]) {
    const value = JSON.parse((await keyValue.find(key)) ?? "{}");
    expect([key, Date.parse(value.cached_at) >= NOW_MS - HOUR_MS]).toEqual([key, true]);
  }
});
