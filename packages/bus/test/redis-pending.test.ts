import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { useRedis, waitFor } from "@sluice/testkit";
import { type Bus, openBus } from "../src/index.ts";

const STREAM = "sluice:telemetry:{0}";
const redis = useRedis();
let bus: Bus;
beforeAll(async () => {
  bus = await openBus(redis.url, {});
});
afterAll(() => bus?.close());

test("an entry that its consumer sits on is seen, taken away, and read by another long before the usual wait", async () => {
  await bus.publish(STREAM, ["a", "b"]);
  const options = { stream: STREAM, group: "postgres", reclaimAfterMs: 600_000 };
  const holder = await bus.reader({ ...options, consumer: "holder" });
  const [held] = await holder.read(10, 5000);
  const [seen] = (await bus.pending?.list(STREAM, "postgres", { count: 10 })) ?? [];
  expect(seen).toMatchObject({ id: held?.id, consumer: "holder", messages: 2, attempts: 1 });
  expect(await bus.pending?.list(STREAM, "postgres", { count: 10, after: held?.id })).toEqual([]);
  const other = await bus.reader({ ...options, consumer: "other" });
  const ids = [held?.id ?? "", "1-1"];
  expect(await bus.pending?.takeAway(STREAM, "postgres", ids)).toEqual([held?.id]);
  const again = await waitFor(async () => (await other.read(10, 500))[0]);
  expect(again.messages).toEqual(["a", "b"]);
  const done = [{ id: again.id, stored: 2, duplicate: 0, quarantined: 0 }];
  expect(await other.ack(done)).toEqual([again.id]);
  expect((await bus.ledger(STREAM))[0]).toMatchObject({ stored: 2, pending: 0, balanced: true });
  await Promise.all([holder.close(), other.close()]);
});

test("whoever an entry was taken away from leaves it to others, even if nobody else is there yet", async () => {
  const stream = "sluice:taken:{0}";
  await bus.publish(stream, ["a"]);
  const options = { stream, group: "postgres", reclaimAfterMs: 4_000 };
  const holder = await bus.reader({ ...options, consumer: "holder" });
  const [held] = await holder.read(10, 5000);
  expect(await bus.pending?.takeAway(stream, "postgres", [held?.id ?? ""])).toEqual([held?.id]);
  // By then it has noticed, and looked several times for what it could take over.
  expect(await holder.read(10, 2_500)).toEqual([]);
  const other = await bus.reader({ ...options, consumer: "other" });
  const [again] = await other.read(10, 10_000);
  expect(again?.id).toBe(held?.id);
  await Promise.all([holder.close(), other.close()]);
});

test("a consumer that waits for its first message is seen to live, and is gone once it has left", async () => {
  const stream = "sluice:quiet:{0}";
  const reader = await bus.reader({ stream, group: "postgres", consumer: "patient" });
  const consumers = async () => (await bus.lag(stream)).groups[0]?.consumers ?? [];
  const seen = await waitFor(async () => (await consumers())[0]);
  expect(seen).toMatchObject({ name: "patient", pending: 0 });
  expect(seen.idleMs).toBeLessThan(12_000);
  await reader.close();
  expect(await consumers()).toEqual([]);
});
