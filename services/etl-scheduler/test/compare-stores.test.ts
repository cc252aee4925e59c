import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, findReconciliation, openDb } from "@sluice/db";
import { createEngine } from "@sluice/etl";
import { type Influx, openInflux } from "@sluice/influx";
import { createMetrics } from "@sluice/service-kit";
import { useInflux, usePostgres } from "@sluice/testkit";
import { createComparison } from "../src/compare-stores.ts";

const HOUR_MS = 3_600_000;
const NOW_MS = Date.UTC(2026, 1, 11, 3, 10);
const postgres = usePostgres();
const server = useInflux();
let db: Db;
let influx: Influx;
beforeAll(async () => {
  db = await openDb(postgres.url);
  const { url, username, password } = server;
  influx = openInflux({ url, version: 1, bucket: "telemetry", username, password });
  await influx.ensureDatabase();
});
afterAll(async () => {
  await influx?.close();
  await db?.close();
});

test("the stores are compared once a day from where the last time ended, and what differs is kept and counted", async () => {
  await influx.write([`air,device_id=d t=1 ${(NOW_MS - 5 * HOUR_MS) * 1000}`]);
  const metrics = createMetrics("etl-scheduler");
  const compare = createComparison(influx, metrics);
  const at = (nowMs: number) =>
    compare(
      createEngine({
        db,
        log: { debug() {}, info() {}, warn() {}, error() {} },
        holder: "test",
        trigger: "scheduler",
        now: () => nowMs,
      }),
    );
  await at(NOW_MS);
  const first = await findReconciliation(db);
  expect(first).toMatchObject({ missing: 0, differing: 0, extra: 1, repaired: false, hours: 1 });
  expect((await metrics.expose()).text).toMatch(/sluice_reconcile_differences\{kind="extra".*\} 1/);
  await db.execute("UPDATE reconciliation SET finished_at = $1", [new Date(NOW_MS)]);
  await at(NOW_MS + HOUR_MS);
  expect((await findReconciliation(db))?.toMs).toBe(first?.toMs);
  await at(NOW_MS + 24 * HOUR_MS);
  expect(await findReconciliation(db)).toMatchObject({ fromMs: first?.toMs, extra: 0 });
});
