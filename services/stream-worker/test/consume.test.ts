import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, listConnectionRefusals, openDb } from "@sluice/db";
import { GROUPS, keepPayload, OutageError, type Rejected } from "@sluice/shared-types";
import { usePrivatePostgres, useRedis, waitFor } from "@sluice/testkit";
import { watchStoring } from "../src/watch-storing.ts";
import { entry, message, openStore, REJECTED, runLoops, TELEMETRY } from "./open-worker.ts";

const postgres = usePrivatePostgres();
const redis = useRedis();
let db: Db;
beforeAll(async () => {
  db = await openDb(postgres.url);
});
afterAll(() => db?.close());

const T = Date.UTC(2026, 1, 3) * 1000;
const many = (device: string, n: number) =>
  Array.from({ length: n }, (_, i) => message({ device, timeUs: T + i, boot: "b", seq: i }, { v: i }));
const count = async (sql: string, params: unknown[] = []) =>
  (await db.query<{ n: number }>(`SELECT count(*) AS n FROM ${sql}`, params))[0]?.n;
const rowsOf = (device: string) =>
  count(
    `measurement m JOIN iot.sensors s ON s.id = m.sensor_id JOIN iot.devices d ON d.id = s.device_id
      WHERE d.device_code = $1`,
    [device],
  );

test("two workers share a stream: the ledger balances and no receipt is left", async () => {
  const workers = await Promise.all([openStore(postgres.url, redis.url), openStore(postgres.url, redis.url)]);
  const loops = await Promise.all(workers.map((worker, i) => runLoops(worker, `w${i}`)));
  const bus = workers[0]?.bus;
  await Promise.all(["p", "q", "r"].map((device) => bus?.publish(TELEMETRY, many(device, 2000))));
  await waitFor(async () => (await bus?.ledger(TELEMETRY))?.[0]?.stored === 6000, { timeoutMs: 30_000 });
  expect((await bus?.ledger(TELEMETRY))?.[0]).toMatchObject({
    accepted: 6000,
    pending: 0,
    unread: 0,
    balanced: true,
  });
  expect(await Promise.all(["p", "q", "r"].map(rowsOf))).toEqual([2000, 2000, 2000]);
  await waitFor(async () => (await count("ledger_receipt")) === 0);
  for (const one of loops) await one.close();
  for (const worker of workers) await worker.close();
});

test("what a killed worker had committed but not acknowledged counts as stored, once", async () => {
  const worker = await openStore(postgres.url, redis.url);
  await worker.bus.ensureGroup(TELEMETRY, GROUPS.postgres);
  const dead = await worker.bus.reader({ stream: TELEMETRY, group: GROUPS.postgres, consumer: "dead" });
  const before = (await worker.bus.ledger(TELEMETRY))[0];
  await worker.bus.publish(TELEMETRY, many("killed", 300));
  let committed = 0;
  while (committed < 300) {
    const entries = await dead.read(500, 1000);
    await worker.store.handle(entries);
    committed += entries.flatMap(({ messages }) => messages).length;
  }
  await dead.close();
  const loops = await runLoops(worker, "heir");
  await waitFor(async () => (await worker.bus.ledger(TELEMETRY))[0]?.stored === (before?.stored ?? 0) + 300, {
    timeoutMs: 30_000,
  });
  expect((await worker.bus.ledger(TELEMETRY))[0]).toMatchObject({
    balanced: true,
    duplicate: before?.duplicate,
  });
  expect(await rowsOf("killed")).toBe(300);
  await loops.close();
  await worker.close();
});

test("a PostgreSQL that is killed under load is waited for", async () => {
  const worker = await openStore(postgres.url, redis.url);
  const loops = await runLoops(worker, "patient");
  await worker.bus.publish(TELEMETRY, many("before", 50));
  await waitFor(async () => (await rowsOf("before")) === 50);
  postgres.kill("SIGKILL");
  await worker.bus.publish(TELEMETRY, many("during", 500));
  await postgres.restart();
  await db.close();
  db = await openDb(postgres.url);
  await waitFor(async () => (await rowsOf("during").catch(() => 0)) === 500, { timeoutMs: 25_000 });
  await waitFor(async () => (await worker.bus.ledger(TELEMETRY))[0]?.pending === 0);
  expect((await worker.bus.ledger(TELEMETRY))[0]?.balanced).toBe(true);
  await loops.close();
  await worker.close();
});

test("refusals arrive in quarantine with their bytes, once, whatever they say; who was turned away takes one row", async () => {
  const worker = await openStore(postgres.url, redis.url);
  const loops = await runLoops(worker, "keeper");
  const refusal: Rejected = {
    reason: "not_json",
    detail: "a NUL \u0000 and half a pair \ud800",
    source: "mqtt",
    receivedUs: T,
    seq: 1e300,
    index: -1,
    device: "broken",
    ...keepPayload(Buffer.from([0xff, 0, 1])),
  };
  await worker.bus.publish(REJECTED, [JSON.stringify(refusal), "no refusal at all"]);
  await waitFor(async () => (await count("quarantine")) === 2);
  const rows = await db.query("SELECT reason, seq, payload, status FROM quarantine ORDER BY reason");
  expect(rows).toEqual([
    { reason: "not_json", seq: null, payload: Buffer.from([0xff, 0, 1]), status: "open" },
    { reason: "undecodable", seq: null, payload: Buffer.from("no refusal at all"), status: "open" },
  ]);
  await waitFor(async () => (await worker.bus.ledger(REJECTED))[0]?.quarantined === 2);

  const who = { address: "10.0.0.7", user: "nul \u0000", client: "", times: 1 };
  const knock = (more: object, receivedUs: number) =>
    JSON.stringify({ ...refusal, reason: "bad_credentials", receivedUs, who: { ...who, ...more } });
  await worker.bus.publish(REJECTED, [
    knock({}, T),
    knock({ times: 59 }, T + 60e6),
    knock({ client: "c" }, T),
  ]);
  await waitFor(async () => (await count("connection_refusal")) === 2);
  await worker.bus.publish(REJECTED, [knock({ times: 2 }, T + 120e6)]);
  await waitFor(async () => (await worker.bus.ledger(REJECTED))[0]?.stored === 4);
  expect(await listConnectionRefusals(db, { since: new Date(0), limit: 10 })).toMatchObject([
    { clientId: "", times: 62, firstAt: new Date(T / 1000), lastAt: new Date(T / 1000 + 120_000) },
    { clientId: "c", times: 1 },
  ]);
  expect((await worker.bus.ledger(REJECTED))[0]).toMatchObject({ quarantined: 2, balanced: true });
  expect(await count("quarantine")).toBe(2);
  await loops.close();
  await worker.close();
});

test("is not ready while PostgreSQL answers and cannot write", async () => {
  const storing = watchStoring();
  const isReady = () =>
    storing.ping().then(
      () => true,
      () => false,
    );
  const setDefault = (sql: string) =>
    db.execute(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I ${sql}', current_database()); END $$`);
  await setDefault("SET default_transaction_read_only = on");
  const worker = await openStore(postgres.url, redis.url);
  const handle = storing.watch(worker.store.handle);
  await waitFor(async () => {
    await expect(handle([entry(many("full", 1))])).rejects.toThrow(OutageError);
    return !(await isReady());
  });
  await worker.db.ping();
  await setDefault("RESET default_transaction_read_only");
  await worker.close();
  const later = await openStore(postgres.url, redis.url);
  await storing.watch(later.store.handle)([entry(many("full", 1))]);
  expect(await isReady()).toBe(true);
  await later.close();
});
