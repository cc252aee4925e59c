import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Entry, publishTombstone } from "@sluice/bus";
import { countReadingsOf, findTombstone, ROLLUP_LOCK } from "@sluice/db";
import { GROUPS } from "@sluice/shared-types";
import { usePostgres, useRedis, waitFor } from "@sluice/testkit";
import { message, type OpenWorker, openStore, runLoops, TELEMETRY } from "./open-worker.ts";

const postgres = usePostgres();
const redis = useRedis();
let worker: OpenWorker & { close(): Promise<void> };
beforeAll(async () => {
  worker = await openStore(postgres.url, redis.url);
  await worker.bus.ensureGroup(TELEMETRY, GROUPS.postgres);
});
afterAll(() => worker?.close());

const T = Date.UTC(2026, 1, 3) * 1000;
const some = (device: string, from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) =>
    message({ device, timeUs: T + from + i, boot: "b", seq: from + i }, { v: i, note: "text" }),
  );
const publish = (messages: string[]) => worker.bus.publish(TELEMETRY, messages);
const purge = (device: string, from: number, to: number) =>
  publishTombstone(worker.bus, { device, fromUs: T + from, toUs: T + to }, { partitions: 1 });
const rows = (device: string) => countReadingsOf(worker.db, device, T, T + 1_000_000);
const settled = () => async () => {
  const [ledger] = await worker.bus.ledger(TELEMETRY);
  return ledger?.pending === 0 && ledger.unread === 0 && ledger;
};

test("deletes what came before it, keeps what comes after, and the ledger balances", async () => {
  await publish(some("a", 0, 50));
  const loops = await runLoops(worker, "w");
  await waitFor(settled());
  await worker.db.execute("UPDATE rollup_watermark SET watermark = now()");
  const { id } = await purge("a", 10, 30);
  await waitFor(async () => (await findTombstone(worker.db, id))?.applied);
  expect(await findTombstone(worker.db, id)).toEqual({ applied: true, readingsDeleted: 40 });
  expect(await rows("a")).toBe(60);
  await publish([message({ device: "a", timeUs: T + 15, boot: "c", seq: 1 }, { v: 7 })]);
  const ledger = await waitFor(settled());
  expect(ledger).toMatchObject({ accepted: 52, stored: 52, duplicate: 0, quarantined: 0, balanced: true });
  expect(await rows("a")).toBe(61);
  const audit = await worker.db.query("SELECT FROM audit.events WHERE event_type = 'device.purged'");
  expect(audit).toHaveLength(1);
  await loops.close();
});

test("what was published before it and is stored after it does not bring rows back", async () => {
  const slow = await worker.bus.reader({ stream: TELEMETRY, group: GROUPS.postgres, consumer: "slow" });
  await publish(some("b", 0, 40));
  const inHand: Entry[] = await waitFor(async () => {
    const read = await slow.read(100, 500);
    return read.length > 0 && read;
  });
  const { id } = await purge("b", 0, 30);
  const loops = await runLoops(worker, "fast");
  await waitFor(async () => (await findTombstone(worker.db, id))?.applied);
  await slow.ack(await worker.store.handle(inHand));
  expect(await rows("b")).toBe(20);
  expect(await waitFor(settled())).toMatchObject({ balanced: true, quarantined: 0 });
  await loops.close();
  await slow.close();
});

test("delivered again it deletes nothing that was stored since, and waits for writers under way", async () => {
  const reader = await worker.bus.reader({ stream: TELEMETRY, group: GROUPS.postgres, consumer: "again" });
  await publish(some("c", 0, 10));
  await reader.ack(await worker.store.handle(await reader.read(100, 1000)));
  const { id } = await purge("c", 0, 10);
  const entries = await reader.read(100, 1000);
  let done = false;
  let handling: Promise<unknown> | undefined;
  await worker.db.transaction(async (tx) => {
    await tx.query("SELECT pg_advisory_xact_lock_shared($1)", [ROLLUP_LOCK]);
    handling = worker.store.handle(entries).then(() => {
      done = true;
    });
    await waitFor(async () => {
      const waiting = await worker.db.query(
        "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted",
      );
      return waiting.length > 0;
    });
    expect(done).toBe(false);
  });
  await handling;
  expect(await findTombstone(worker.db, id)).toEqual({ applied: true, readingsDeleted: 20 });
  await worker.db.execute("DELETE FROM ledger_receipt");
  await publish([message({ device: "c", timeUs: T + 5 }, { v: 1 })]);
  await reader.ack(await worker.store.handle(await reader.read(100, 1000)));
  await reader.ack(await worker.store.handle(entries));
  expect(await rows("c")).toBe(1);
  await reader.close();
});
