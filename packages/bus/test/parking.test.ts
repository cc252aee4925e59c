import { expect, test } from "@jest/globals";
import { type Bus, openBus, type Parking } from "@sluice/bus";
import { useRedis, waitFor } from "@sluice/testkit";
import { Redis } from "ioredis";

const redis = useRedis();
const STREAM = "sluice:telemetry:{0}";

async function withBus(work: (bus: Bus, parking: Parking) => Promise<void>): Promise<void> {
  const admin = new Redis(redis.url);
  await admin.flushall();
  admin.disconnect();
  const bus = await openBus(redis.url);
  try {
    if (!bus.parking) throw new Error("the driver cannot park");
    for (const group of ["postgres", "influx"]) await bus.ensureGroup(STREAM, group);
    await work(bus, bus.parking);
  } finally {
    await bus.close();
  }
}

const settle = async (bus: Bus, group: string, count: number) => {
  const reader = await bus.reader({ stream: STREAM, group, consumer: "c" });
  let left = count;
  while (left > 0) {
    const entries = await reader.read(1, 1_000);
    await reader.ack(
      entries.map(({ id, messages }) => ({ id, stored: messages.length, duplicate: 0, quarantined: 0 })),
    );
    left -= entries.length;
  }
  await reader.close();
};
const find = { after: "postgres", maxBytes: 1_000_000, minAgeMs: 0 };
const balanceOf = async (bus: Bus) => (await bus.ledger(STREAM)).find(({ group }) => group === "influx");

test("only what postgres has acknowledged is parked, and the ledger says so by name until it is counted", () =>
  withBus(async (bus, parking) => {
    for (let i = 0; i < 4; i++) await bus.publish(STREAM, [`${i}a`, `${i}b`]);
    expect(await parking.find(STREAM, "influx", find)).toEqual([]);
    await settle(bus, "postgres", 3);
    const entries = await parking.find(STREAM, "influx", find);
    expect(entries.flatMap(({ messages }) => messages)).toEqual(["0a", "0b", "1a", "1b", "2a", "2b"]);
    expect(
      await parking.park(
        STREAM,
        "influx",
        "r1",
        entries.map(({ id }) => id),
      ),
    ).toBe(true);
    expect(await balanceOf(bus)).toMatchObject({ accepted: 8, parked: 6, unread: 2, balanced: true });
    expect(await parking.list(STREAM, "influx")).toEqual(new Map([["r1", 6]]));
    const outcome = { stored: 5, duplicate: 0, quarantined: 1 };
    expect(await parking.unpark(STREAM, "influx", "r1", outcome)).toBe(true);
    expect(await parking.unpark(STREAM, "influx", "r1", outcome)).toBe(false);
    expect(await balanceOf(bus)).toMatchObject({ parked: 0, stored: 5, quarantined: 1, balanced: true });
  }));

test("what a dead consumer had in hand is parked too; what it acknowledges meanwhile prevents it", () =>
  withBus(async (bus, parking) => {
    for (let i = 0; i < 3; i++) await bus.publish(STREAM, [`${i}`]);
    await settle(bus, "postgres", 3);
    const reader = await bus.reader({ stream: STREAM, group: "influx", consumer: "w" });
    const held = await reader.read(2, 1_000);
    const found = await parking.find(STREAM, "influx", find);
    expect(found).toHaveLength(3);
    const [first] = held;
    if (!first) throw new Error("nothing was read");
    await reader.ack([{ id: first.id, stored: 1, duplicate: 0, quarantined: 0 }]);
    const ids = found.map(({ id }) => id);
    expect(await parking.park(STREAM, "influx", "r1", ids)).toBe(false);
    expect(await parking.park(STREAM, "influx", "r2", ids.slice(1))).toBe(true);
    // The writer comes through after all: that counts nothing now.
    expect(await reader.ack([{ id: ids[1] ?? "", stored: 1, duplicate: 0, quarantined: 0 }])).toEqual([]);
    await parking.trim(STREAM, 0);
    await waitFor(() => reader.losses().length === 0);
    await reader.close();
    expect(await balanceOf(bus)).toMatchObject({
      stored: 1,
      parked: 2,
      unread: 0,
      pending: 0,
      balanced: true,
    });
    const [state] = (await bus.lag(STREAM)).groups.filter(({ group }) => group === "influx");
    expect(state).toMatchObject({ parked: 2, unreadEntries: 0 });
    expect(await bus.fates(STREAM, ids[2] ?? "")).toContainEqual({ group: "influx", state: "settled" });
  }));
