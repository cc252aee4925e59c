import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { InvalidInputError, OutageError } from "@sluice/shared-types";
import { waitFor as waitForIt } from "@sluice/testkit";
import { type Bus, type Entry, openBus } from "../src/index.ts";
import { type Consumer, type ConsumerSetup, outcome, settled, startConsumer } from "./consumer.ts";
import type { Driver, Installed } from "./drivers.ts";

const numbered = (count: number, from = 1) => Array.from({ length: count }, (_, i) => `m${from + i}`);
function createGate(): { promise: Promise<void>; resolve(): void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve: () => resolve() };
}
const never = new Promise<never>(() => {});
/** Generous: on a busy machine everything takes longer, and a condition that holds ends the wait at once. */
const waitFor = <T>(condition: () => T | Promise<T>) => waitForIt(condition, { timeoutMs: 25_000 });

/** What every driver promises, on real servers: the one suite for all of them. */
export const describeContract = (driver: Driver) =>
  describe(`bus on ${driver.name}`, () => {
    let server: Installed;
    let bus: Bus;
    let stream: string;
    let streams = 0;
    const opened: { close(): Promise<void> }[] = [];
    const stops: (() => Promise<void>)[] = [];

    beforeAll(async () => {
      server = await driver.start();
    });
    afterAll(() => server.stop());
    beforeEach(async () => {
      bus = await open();
      stream = `test:${++streams}:{0}`;
    });
    afterEach(async () => {
      for (const stop of stops.splice(0)) await stop().catch(() => undefined);
      for (const resource of opened.splice(0).reverse()) await resource.close();
    });

    async function open(url = server.url): Promise<Bus> {
      const found = await openBus(url, { trim: { everyMs: 50, keepMs: 0, keepMessages: 0 } });
      opened.push(found);
      return found;
    }
    async function proxied() {
      const proxy = await driver.distance(server);
      opened.push(proxy);
      return proxy;
    }
    async function start(setup: Partial<ConsumerSetup> = {}, on = bus) {
      const consumer = await startConsumer(on, { stream, ...setup });
      stops.push(consumer.stop);
      return consumer;
    }
    /** Publishes one message per entry. */
    async function publishSingly(messages: readonly string[], on = bus): Promise<void> {
      for (const message of messages) await on.publish(stream, [message]);
    }

    test("what is published is delivered in order, once, and counted", async () => {
      await bus.ensureGroup(stream, "postgres");
      const ids = await bus.publish(stream, numbered(300));
      expect(new Set(ids).size).toBe(300);
      const consumer = await start();
      const line = await settled(bus, stream, 300);
      expect(line).toMatchObject({ stored: 300, duplicate: 0, quarantined: 0, lost: 0 });
      expect(consumer.stored).toEqual(numbered(300));
    });

    test("messages of concurrent publishes are all delivered, each publisher's in its order", async () => {
      const consumer = await start();
      await Promise.all(
        Array.from({ length: 20 }, async (_, p) => {
          for (let i = 0; i < 20; i++) await bus.publish(stream, [`${p}:${i}`]);
        }),
      );
      await settled(bus, stream, 400);
      for (let p = 0; p < 20; p++) {
        const mine = consumer.stored.filter((m) => m.startsWith(`${p}:`));
        expect(mine).toEqual(Array.from({ length: 20 }, (_, i) => `${p}:${i}`));
      }
    });

    test("several producers never give an ordinal twice, and nothing of theirs is missing", async () => {
      await bus.ensureGroup(stream, "postgres");
      const buses = [bus, await open(), await open()];
      await Promise.all(
        buses.flatMap((one, b) =>
          Array.from({ length: 3 }, async (_, p) => {
            for (let i = 0; i < 40; i++) await one.publish(stream, [`${b}:${p}:${i}`]);
          }),
        ),
      );
      let next = 1;
      for (const entry of await bus.browse(stream, { from: "-", count: 1_000 })) {
        expect(entry.ordinal).toBe(next);
        next += entry.messages.length;
      }
      expect(next).toBe(361);
      const consumer = await start();
      await settled(bus, stream, 360);
      expect(new Set(consumer.stored).size).toBe(360);
      expect(consumer.stored).toHaveLength(360);
    });

    test("ordinals count messages from 1 without a gap, over entries of any size", async () => {
      await bus.publish(stream, numbered(3));
      await bus.publish(stream, numbered(300));
      await bus.publish(stream, ["x"]);
      let next = 1;
      for (const entry of await bus.browse(stream, { from: "-", count: 100 })) {
        expect(entry.ordinal).toBe(next);
        next += entry.messages.length;
      }
      expect(next).toBe(305);
    });

    test("a message keeps every character, line feeds and emoji included, and may be empty", async () => {
      const odd = ["", "a\nb\r\nc", '{"p":"🌱 \\u0000"}', "ä".repeat(70_000), "plain"];
      const ids = await bus.publish(stream, odd);
      expect(ids).toHaveLength(5);
      const consumer = await start();
      await settled(bus, stream, 5);
      expect(consumer.stored).toEqual(odd);
    });

    test("a lone publish does not wait for company", async () => {
      await bus.publish(stream, ["warm up"]);
      const times: number[] = [];
      for (let i = 0; i < 20; i++) {
        const from = performance.now();
        await bus.publish(stream, ["m"]);
        times.push(performance.now() - from);
      }
      expect(Math.min(...times)).toBeLessThan(20);
    });

    test("an unacknowledged entry is delivered again to a reader of the same name", async () => {
      await publishSingly(numbered(3));
      const options = { stream, group: "postgres", consumer: "c1", reclaimAfterMs: 500 };
      const other = await open();
      const first = await other.reader(options);
      const got = await first.read(1_000, 1_000);
      expect(got.length).toBeGreaterThan(0);
      await first.close();
      const consumer = await start({ reclaimAfterMs: 500 });
      await settled(bus, stream, 3);
      expect([...consumer.stored].sort()).toEqual(numbered(3));
      expect(consumer.batches.flat().some((entry) => entry.attempts > 1)).toBe(true);
    });

    test("a released entry is delivered again, with a higher attempt count", async () => {
      await bus.publish(stream, ["m"]);
      const reader = await bus.reader({ stream, group: "postgres", consumer: "c1" });
      stops.push(() => reader.close());
      const [entry] = await reader.read(10, 2_000);
      expect(entry?.attempts).toBe(1);
      expect(await reader.read(10, 50)).toEqual([]);
      reader.release([entry?.id ?? ""]);
      const [again] = await reader.read(10, 2_000);
      expect(again).toMatchObject({ id: entry?.id, attempts: 2, messages: ["m"] });
    });

    test("an entry that was acknowledged before counts nothing", async () => {
      await bus.publish(stream, numbered(5));
      const reader = await bus.reader({ stream, group: "postgres", consumer: "c1" });
      stops.push(() => reader.close());
      const entries = await reader.read(10, 2_000);
      const outcomes = entries.map((entry) => outcome(entry));
      expect(await reader.ack(outcomes)).toEqual(entries.map(({ id }) => id));
      expect(await reader.ack(outcomes)).toEqual([]);
      expect(await settled(bus, stream, 5)).toMatchObject({ stored: 5 });
    });

    test("one poison message among good neighbours is quarantined alone", async () => {
      await publishSingly([...numbered(9), "poison", ...numbered(10, 10)]);
      const consumer = await start({
        work(entries) {
          if (entries.some((entry) => entry.messages.includes("poison"))) {
            throw new InvalidInputError("poison_row", "refused by the database");
          }
        },
      });
      const line = await settled(bus, stream, 20);
      expect(line).toMatchObject({ stored: 19, quarantined: 1 });
      expect(consumer.quarantined.map(({ messages }) => messages)).toEqual([["poison"]]);
      expect(new Set(consumer.stored).size).toBe(19);
      expect(consumer.stored).toHaveLength(19);
    });

    test("an outage holds the batch, without giving it up, until it ends", async () => {
      await bus.publish(stream, numbered(10));
      let down = true;
      let tries = 0;
      const consumer = await start({
        work() {
          tries++;
          if (down) throw new OutageError("postgres", "down");
        },
      });
      await waitFor(() => tries >= 3);
      expect(await bus.ledger(stream)).toMatchObject([{ stored: 0, pending: 10, unread: 0, balanced: true }]);
      down = false;
      await settled(bus, stream, 10);
      expect(consumer.stored).toEqual(numbered(10));
    });

    test("any other error ends consume with it, and nothing is acknowledged", async () => {
      await bus.publish(stream, numbered(10));
      const consumer = await start({
        work() {
          throw new Error("broken promise");
        },
      });
      await expect(consumer.done).rejects.toThrow("broken promise");
      expect(await bus.ledger(stream)).toMatchObject([{ stored: 0, balanced: true }]);
      await start({ reclaimAfterMs: 300 });
      await settled(bus, stream, 10);
    });

    test("a handler whose outcomes do not add up ends consume", async () => {
      await bus.publish(stream, numbered(2));
      const reader = await bus.reader({ stream, group: "postgres", consumer: "c1" });
      const { consume } = await import("../src/index.ts");
      const done = consume(reader, {
        handle: async (entries) => entries.map((entry) => ({ ...outcome(entry), stored: 1 })),
        quarantine: () => never,
        signal: new AbortController().signal,
        maxMessages: 10,
        waitMs: 100,
      });
      await expect(done).rejects.toThrow(/add up/);
    });

    test("a group created late sees the old entries", async () => {
      await bus.publish(stream, numbered(50));
      await bus.ensureGroup(stream, "late");
      expect(await bus.ledger(stream)).toMatchObject([
        { group: "late", accepted: 50, unread: 50, balanced: true },
      ]);
      const consumer = await start({ group: "late" });
      await settled(bus, stream, 50, "late");
      expect(consumer.stored).toEqual(numbered(50));
    });

    test("a group created after trimming counts from where the stream begins", async () => {
      const early = await start();
      await publishSingly(numbered(20));
      await settled(bus, stream, 20);
      await waitFor(async () => (await bus.lag(stream)).entries <= 2);
      await early.stop();
      await bus.publish(stream, ["new"]);
      await start({ group: "late" });
      const line = await waitFor(async () => {
        const found = (await bus.ledger(stream)).find((g) => g.group === "late");
        return found && found.unread === 0 && found.pending === 0 && found.stored > 0 ? found : undefined;
      });
      expect(line.balanced).toBe(true);
    });

    test("a stream deleted under a reader is a named loss, and the reader goes on", async () => {
      const reader = await bus.reader({ stream, group: "postgres", consumer: "c1", reclaimAfterMs: 400 });
      stops.push(() => reader.close());
      await bus.publish(stream, numbered(5));
      const entries = await reader.read(100, 2_000);
      await reader.ack(entries.map((entry) => outcome(entry)));
      await bus.publish(stream, numbered(7, 6));
      await driver.deleteStream(server, stream);
      const lost = await waitFor(async () => {
        expect(await reader.read(100, 100)).toEqual([]);
        const ranges = reader.losses();
        return ranges.length > 0 && ranges;
      });
      expect(lost).toEqual([{ stream, group: "postgres", from: 6, to: 12 }]);
      await bus.publish(stream, ["after"]);
      const [after] = await waitFor(async () => {
        const found = await reader.read(100, 500);
        return found.length > 0 && found;
      });
      expect(after).toMatchObject({ ordinal: 13, messages: ["after"] });
      await reader.ack([outcome(after as Entry)]);
      expect(await bus.ledger(stream)).toMatchObject([{ accepted: 13, stored: 6, lost: 7, balanced: false }]);
    });

    test("a stream deleted while a read waits neither ends the reader nor spins it", async () => {
      const consumer = await start();
      await bus.publish(stream, numbered(5));
      await settled(bus, stream, 5);
      const cpu = process.cpuUsage();
      await driver.deleteStream(server, stream);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      const { user, system } = process.cpuUsage(cpu);
      expect((user + system) / 1_000_000).toBeLessThan(0.5);
      await bus.publish(stream, ["after"]);
      await waitFor(() => consumer.stored.includes("after"));
      expect(consumer.lost).toEqual([]);
    });

    test("entries thrown away before the group had them are named as lost", async () => {
      const consumer = await start({ reclaimAfterMs: 400 });
      await bus.publish(stream, numbered(10));
      await settled(bus, stream, 10);
      await consumer.stop();
      await publishSingly(numbered(20, 11));
      await driver.dropOld(server, stream);
      const next = await start({ reclaimAfterMs: 400 });
      await waitFor(() => next.lost.length > 0);
      expect(next.lost).toEqual([{ stream, group: "postgres", from: 11, to: 29 }]);
      await waitFor(() => next.stored.includes("m30"));
      await waitFor(async () => (await bus.ledger(stream))[0]?.pending === 0);
      expect(await bus.ledger(stream)).toMatchObject([{ stored: 11, lost: 19, balanced: false }]);
    });

    test("the entries of a consumer that died are taken over, and its name goes away", async () => {
      await publishSingly(numbered(10));
      const proxy = await proxied();
      const dying = await open(proxy.url);
      const reader = await dying.reader({
        stream,
        group: "postgres",
        consumer: "dead",
        reclaimAfterMs: 60_000,
      });
      const taken = await reader.read(1_000, 1_000);
      expect(taken.length).toBeGreaterThan(0);
      // A reader that can neither refresh nor acknowledge nor say goodbye is as good as dead.
      proxy.refuse();
      proxy.cutAll();
      const consumer = await start({ consumer: "alive", reclaimAfterMs: 400 });
      await settled(bus, stream, 10);
      expect([...consumer.stored].sort()).toEqual(numbered(10).sort());
      if (driver.namesConsumers) {
        const names = async () => (await bus.lag(stream)).groups[0]?.consumers.map(({ name }) => name);
        await waitFor(async () => (await names())?.join() === "alive");
        await consumer.stop();
        expect(await names()).toEqual([]);
      }
    });

    test("a batch that takes longer than the redelivery time is not processed twice", async () => {
      await publishSingly(numbered(4));
      const slow: Consumer = await start({
        consumer: "slow",
        reclaimAfterMs: 1_000,
        work: () =>
          slow.batches.length > 1 ? undefined : new Promise((resolve) => setTimeout(resolve, 2_200)),
      });
      await waitFor(() => slow.batches.length > 0);
      const other = await start({ consumer: "other", reclaimAfterMs: 1_000 });
      await settled(bus, stream, 4);
      const handled = [...slow.batches, ...other.batches].flat().map(({ id }) => id);
      expect(handled).toHaveLength(new Set(handled).size);
    });

    test("a slow group does not block a fast one", async () => {
      const gate = createGate();
      const slow = await start({ group: "influx", work: () => gate.promise });
      const fast = await start({ group: "postgres" });
      for (let i = 0; i < 10; i++) await bus.publish(stream, numbered(10, i * 10));
      await settled(bus, stream, 100, "postgres");
      expect(fast.stored).toHaveLength(100);
      expect(slow.stored).toEqual([]);
      gate.resolve();
      await settled(bus, stream, 100, "influx");
    });

    test("a stop in the middle of a batch finishes and acknowledges it, and nothing is left pending", async () => {
      await publishSingly(numbered(10));
      const gate = createGate();
      const consumer = await start({ work: () => gate.promise, maxMessages: 4 });
      await waitFor(() => consumer.batches.length > 0);
      const stopped = consumer.stop();
      gate.resolve();
      await stopped;
      expect(consumer.stored.length).toBeGreaterThan(0);
      const line = await waitFor(async () => {
        const [found] = await bus.ledger(stream);
        return found && found.stored === consumer.stored.length ? found : undefined;
      });
      expect(line.balanced).toBe(true);
      const rest = await start({ consumer: "c2", reclaimAfterMs: 60_000 });
      await settled(bus, stream, 10);
      expect([...consumer.stored, ...rest.stored].sort()).toEqual(numbered(10).sort());
    });

    test("a stop during an outage does not hang, and the batch stays for the next consumer", async () => {
      await bus.publish(stream, numbered(3));
      const held = await start({
        work() {
          throw new OutageError("postgres", "down");
        },
      });
      await waitFor(() => held.batches.length > 0);
      await held.stop();
      const next = await start({ consumer: "c2", reclaimAfterMs: 60_000 });
      await settled(bus, stream, 3);
      expect(next.stored).toEqual(numbered(3));
    });

    test("trimming removes what every group has acknowledged and never more", async () => {
      const gate = createGate();
      await bus.ensureGroup(stream, "alerts");
      const first = await start({ group: "postgres", reclaimAfterMs: 200 });
      const second = await start({
        group: "influx",
        reclaimAfterMs: 200,
        maxMessages: 1,
        work: (entries) => (entries[0]?.messages[0] === "m5" ? gate.promise : undefined),
      });
      await publishSingly(numbered(30));
      await settled(bus, stream, 30, "postgres");
      await waitFor(() => second.stored.length >= 4);
      expect(first.stored).toHaveLength(30);
      expect((await bus.lag(stream)).entries).toBe(30);
      const third = await start({ group: "alerts", reclaimAfterMs: 200 });
      await settled(bus, stream, 30, "alerts");
      await waitFor(async () => (await bus.lag(stream)).entries < 30);
      expect((await bus.lag(stream)).entries).toBeGreaterThanOrEqual(26);
      gate.resolve();
      await settled(bus, stream, 30, "influx");
      await waitFor(async () => (await bus.lag(stream)).entries <= 1);
      expect([...first.lost, ...second.lost, ...third.lost]).toEqual([]);
      for (const line of await bus.ledger(stream)) expect(line.balanced).toBe(true);
    });

    test("trimming leaves alone what a consumer had in hand when it died", async () => {
      await publishSingly(numbered(4));
      const proxy = await proxied();
      const dying = await open(proxy.url);
      const options = { stream, group: "postgres", consumer: "dead", reclaimAfterMs: 60_000 };
      const reader = await dying.reader(options);
      const [first] = await reader.read(1, 5_000);
      await reader.ack(first ? [outcome(first)] : []);
      const [second] = await reader.read(1, 5_000);
      expect(second?.messages).toEqual(["m2"]);
      await waitFor(async () => (await bus.lag(stream)).entries === 3);
      proxy.refuse();
      proxy.cutAll();
      const consumer = await start({ consumer: "alive", reclaimAfterMs: 400 });
      expect(await settled(bus, stream, 4)).toMatchObject({ stored: 4, lost: 0 });
      expect([...consumer.stored].sort()).toEqual(["m2", "m3", "m4"]);
    });

    test("two consumers share the work and each message is handled once", async () => {
      const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 5));
      const a = await start({ consumer: "a", maxMessages: 5, work: pause });
      const b = await start({ consumer: "b", maxMessages: 5, work: pause });
      await publishSingly(numbered(200));
      await settled(bus, stream, 200);
      expect(a.stored.length).toBeGreaterThan(20);
      expect(b.stored.length).toBeGreaterThan(20);
      expect([...a.stored, ...b.stored].sort()).toEqual(numbered(200).sort());
      expect([...a.lost, ...b.lost]).toEqual([]);
    });

    test("several batches at once are all acknowledged, and no more than asked for", async () => {
      let now = 0;
      let most = 0;
      await publishSingly(numbered(40));
      const consumer = await start({
        maxMessages: 4,
        inFlight: 3,
        async work() {
          most = Math.max(most, ++now);
          await new Promise((resolve) => setTimeout(resolve, 100));
          now--;
        },
      });
      await settled(bus, stream, 40);
      expect(most).toBe(3);
      expect([...consumer.stored].sort()).toEqual(numbered(40).sort());
    });

    test("messages that come one by one share batches, and the first of them does not wait", async () => {
      const consumer = await start({});
      const published: Promise<unknown>[] = [];
      const startMs = performance.now();
      for (const message of numbered(100)) {
        published.push(bus.publish(stream, [message]));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      const elapsedMs = performance.now() - startMs;
      expect(consumer.batches.length).toBeGreaterThan(0);
      await Promise.all(published);
      await settled(bus, stream, 100);
      // A batch each 20 ms, and a few for the end.
      expect(consumer.batches.length).toBeLessThan(elapsedMs / 20 + 10);
      expect(consumer.stored).toEqual(numbered(100));
    });

    test("a full server refuses appends whole, loses nothing, and drains by itself", async () => {
      await bus.ensureGroup(stream, "postgres");
      await bus.publish(stream, ["first"]);
      stops.push(() => driver.limit(server, stream, null));
      await driver.limit(server, stream, 2_000_000);
      let accepted = 1;
      let refused: unknown;
      for (let i = 0; i < 200 && refused === undefined; i++) {
        await bus.publish(stream, Array(20).fill("x".repeat(5_000))).then(
          (ids) => {
            accepted += ids.length;
          },
          (error) => {
            refused = error;
          },
        );
      }
      expect(refused).toBeInstanceOf(OutageError);
      expect((await bus.ledger(stream))[0]).toMatchObject({ accepted, unread: accepted, balanced: true });
      const consumer = await start({ reclaimAfterMs: 200 });
      await settled(bus, stream, accepted);
      await waitFor(() =>
        bus.publish(stream, ["again"]).then(
          () => true,
          () => false,
        ),
      );
      await settled(bus, stream, accepted + 1);
      expect(consumer.stored).toHaveLength(accepted + 1);
    });

    test("a restart of the server under load appends nothing twice and loses nothing acknowledged", async () => {
      const consumer = await start({ reclaimAfterMs: 1_000 });
      const acknowledged: string[] = [];
      const unknown: string[] = [];
      let running = true;
      const load = Promise.all(
        Array.from({ length: 8 }, async (_, p) => {
          for (let i = 0; running; i++) {
            const message = `${p}:${i}`;
            await bus.publish(stream, [message]).then(
              () => acknowledged.push(message),
              () => unknown.push(message),
            );
          }
        }),
      );
      await waitFor(() => acknowledged.length > 200);
      await server.kill("SIGKILL");
      await server.restart();
      const before = acknowledged.length;
      await waitFor(() => acknowledged.length > before + 200);
      running = false;
      await load;
      const accepted = await waitFor(async () => (await bus.lag(stream)).accepted);
      await settled(bus, stream, accepted);
      const seen = new Set(consumer.stored);
      expect(acknowledged.filter((message) => !seen.has(message))).toEqual([]);
      const published = [];
      for (const entry of await waitFor(() => bus.browse(stream, { from: "-", count: 1_000_000 })))
        published.push(...entry.messages);
      expect(published).toHaveLength(new Set(published).size);
      expect(accepted).toBeLessThanOrEqual(acknowledged.length + unknown.length);
      expect(consumer.lost).toEqual([]);
    });

    test("connections cut in the middle of appends repeat and lose nothing", async () => {
      const proxy = await proxied();
      const shaky = await open(proxy.url);
      await bus.ensureGroup(stream, "postgres");
      const results: Promise<unknown>[] = [];
      for (let i = 0; i < 300; i++) {
        results.push(shaky.publish(stream, [`m${i}`]).then(() => i));
        if (i % 60 === 30) {
          proxy.dropReplies();
          await new Promise((resolve) => setTimeout(resolve, 30));
          proxy.cutAll();
          proxy.dropReplies(false);
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(await Promise.all(results)).toHaveLength(300);
      const consumer = await start();
      await settled(bus, stream, 300);
      expect(consumer.stored).toEqual(Array.from({ length: 300 }, (_, i) => `m${i}`));
    });

    test("a consumer behind a connection that is cut again and again stores everything, counted once", async () => {
      const proxy = await proxied();
      const shaky = await open(proxy.url);
      const consumer = await start({ maxMessages: 5, reclaimAfterMs: 500 }, shaky);
      for (let i = 0; i < 100; i++) {
        await bus.publish(stream, [`m${i}`]);
        if (i % 20 === 10) proxy.cutAll();
      }
      await settled(bus, stream, 100);
      expect(new Set(consumer.stored).size).toBe(100);
      await consumer.stop();
    });

    test("browse gives a range in either direction, and only new entries from the id of the last", async () => {
      await publishSingly(numbered(5));
      const all = await bus.browse(stream, { from: "-", count: 10 });
      expect(all.flatMap(({ messages }) => messages)).toEqual(numbered(5));
      const back = await bus.browse(stream, { from: "-", count: 2, reverse: true });
      expect(back.flatMap(({ messages }) => messages)).toEqual(["m5", "m4"]);
      const rest = await bus.browse(stream, { from: all[3]?.id ?? "", count: 10 });
      expect(rest.flatMap(({ messages }) => messages)).toEqual(["m4", "m5"]);
    });

    test("an empty stream has nothing to browse, in either direction", async () => {
      await bus.ensureGroup(stream, "postgres");
      expect(await bus.browse(stream, { from: "-", count: 10 })).toEqual([]);
      expect(await bus.browse(stream, { from: "+", count: 1, reverse: true })).toEqual([]);
    });

    test("lag tells unread and pending in messages and entries", async () => {
      await bus.ensureGroup(stream, "postgres");
      await bus.publish(stream, numbered(10));
      await bus.publish(stream, numbered(5));
      const reader = await bus.reader({ stream, group: "postgres", consumer: "c1" });
      stops.push(() => reader.close());
      const [first] = await reader.read(10, 2_000);
      expect(first?.messages).toHaveLength(10);
      await waitFor(async () => {
        const { groups, entries, accepted } = await bus.lag(stream);
        expect({ entries, accepted }).toEqual({ entries: 2, accepted: 15 });
        const [group] = groups;
        expect((group?.unread ?? 0) + (group?.pending ?? 0)).toBe(15);
        expect(group?.pendingEntries).toBeGreaterThan(0);
        expect(group?.oldestPendingMs).toBeGreaterThanOrEqual(0);
        return true;
      });
    });

    test("an empty stream counts on from where its predecessor stood, another is left alone", async () => {
      expect(await bus.resume(stream, 41)).toBe(true);
      await bus.ensureGroup(stream, "postgres");
      await publishSingly(["m42"]);
      expect(await bus.resume(stream, 7)).toBe(false);
      expect((await bus.browse(stream, { from: "-", count: 10 })).map(({ ordinal }) => ordinal)).toEqual([
        42,
      ]);
      const consumer = await start();
      expect(await settled(bus, stream, 1)).toMatchObject({ stored: 1, lost: 0 });
      expect(consumer.lost).toEqual([]);
    });

    test("ping names an unreachable server, and closing twice is safe", async () => {
      const proxy = await proxied();
      const far = await open(proxy.url);
      await far.ping();
      proxy.refuse();
      proxy.cutAll();
      await expect(far.ping()).rejects.toBeInstanceOf(OutageError);
      await far.close();
      await far.close();
      await expect(far.publish(stream, ["late"])).rejects.toBeInstanceOf(OutageError);
    });
  });
