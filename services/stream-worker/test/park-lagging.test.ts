import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Bus, openBus } from "@sluice/bus";
import { type Db, openDb, prepareParked } from "@sluice/db";
import { usePostgres, useRedis, waitFor } from "@sluice/testkit";
import { parkLagging } from "../src/park-lagging.ts";
import { SILENT, TELEMETRY } from "./open-worker.ts";

const postgres = usePostgres();
const redis = useRedis({ maxmemory: "8mb" });
let bus: Bus;
let db: Db;
beforeAll(async () => {
  db = await openDb(postgres.url);
  bus = await openBus(redis.url);
  for (const group of ["postgres", "influx"]) await bus.ensureGroup(TELEMETRY, group);
});
afterAll(async () => {
  await bus?.close();
  await db?.close();
});

const range = (id: string) => ({
  id,
  stream: TELEMETRY,
  group: "influx",
  fromEntry: "1-1001",
  toEntry: "1-1001",
  fromOrdinal: 1,
  toOrdinal: 1,
  messages: 1,
  body: Buffer.from("x"),
});

test("a group that lags is parked until there is room; what a killed worker left open is settled", async () => {
  // Kept, then killed before it was taken off the bus; and killed right after.
  const dropped = "00000000-0000-0000-0000-000000000001";
  const confirmed = "00000000-0000-0000-0000-000000000002";
  const [first] = await bus.publish(TELEMETRY, ["{}"]);
  await prepareParked(db, range(dropped));
  await prepareParked(db, range(confirmed));
  await db.execute("UPDATE bus_parked SET parked_at = now() - interval '2 minutes'");
  expect(await bus.parking?.park(TELEMETRY, "influx", confirmed, [first?.split("#")[0] ?? ""])).toBe(true);

  const reader = await bus.reader({ stream: TELEMETRY, group: "postgres", consumer: "w" });
  for (let i = 0; i < 50; i++) await bus.publish(TELEMETRY, [String(i).padEnd(100_000, "x")]);
  for (let left = 51; left > 0; ) {
    const entries = await reader.read(10, 1_000);
    await reader.ack(entries.map(({ id }) => ({ id, stored: 1, duplicate: 0, quarantined: 0 })));
    left -= entries.length;
  }
  const before = await bus.room();
  const stop = new AbortController();
  const parking = parkLagging(bus, db, {
    streams: [TELEMETRY],
    highWater: 0.5,
    maxParkedBytes: 1_000_000,
    minAgeMs: 0,
    everyMs: 50,
    signal: stop.signal,
    log: SILENT,
  });
  const mark = (before.maxBytes ?? 0) * 0.5 * 0.75;
  await waitFor(async () => ((await bus.room()).usedBytes ?? 0) < mark, { timeoutMs: 15_000, what: "room" });
  stop.abort();
  await parking;
  await reader.close();
  const rows = await db.query<{ id: string; status: string; messages: number }>("SELECT * FROM bus_parked");
  expect(rows.map(({ id }) => id)).not.toContain(dropped);
  expect(rows.every(({ status }) => status === "parked")).toBe(true);
  const [influx] = (await bus.ledger(TELEMETRY)).filter(({ group }) => group === "influx");
  expect(influx).toMatchObject({ accepted: 51, balanced: true });
  expect(influx?.parked).toBe(rows.reduce((sum, { messages }) => sum + messages, 0));
});
