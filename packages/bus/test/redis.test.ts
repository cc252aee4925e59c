import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { startRedis } from "@sluice/servers";
import { OutageError } from "@sluice/shared-types";
import { useRedis, useServer, waitFor } from "@sluice/testkit";
import { Redis } from "ioredis";
import { type Bus, openBus } from "../src/index.ts";
import { type ConsumerSetup, settled, startConsumer } from "./consumer.ts";

const patient = { timeoutMs: 25_000 };
const STREAM = "sluice:telemetry:{0}";

describe("the Redis driver", () => {
  const server = useServer(() => startRedis({ appendfsync: "always", config: "enable-debug-command yes" }));
  const lax = useRedis({ password: "secret" });
  let bus: Bus;
  let raw: Redis;
  const closing: (() => Promise<unknown>)[] = [];

  beforeEach(async () => {
    raw = new Redis(server.url);
    await raw.flushall();
    bus = await openBus(server.url, { trim: { everyMs: 50, keepMs: 60_000, keepMessages: 50 } });
    closing.push(async () => raw.disconnect(), bus.close);
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  async function start(setup: Partial<ConsumerSetup> = {}) {
    const consumer = await startConsumer(bus, { stream: STREAM, ...setup });
    closing.push(() => consumer.stop().catch(() => undefined));
    return consumer;
  }

  test("operators see entries in XPENDING and readable fields in XRANGE", async () => {
    await bus.publish(STREAM, ["a", "b"]);
    const [[, fields] = ["", []]] = await raw.xrange(STREAM, "-", "+");
    expect(fields).toEqual(["o", "1", "n", "2", "m", "a", "m", "b"]);
    expect(await raw.hget(`${STREAM}:ledger`, "accepted")).toBe("2");
    const reader = await bus.reader({ stream: STREAM, group: "postgres", consumer: "c1" });
    await reader.read(10, 1_000);
    expect((await raw.xpending(STREAM, "postgres"))[0]).toBe(1);
  });

  test("a Redis over its memory limit lets a consumer in that was started only then, and drains", async () => {
    await bus.ensureGroup(STREAM, "postgres");
    for (let i = 0; i < 20; i++) await bus.publish(STREAM, Array(20).fill("x".repeat(5_000)));
    const used = Number(/used_memory:(\d+)/.exec(await raw.info("memory"))?.[1]);
    closing.push(() => raw.config("SET", "maxmemory", "1gb"));
    await raw.config("SET", "maxmemory", used - 1_000_000);
    await expect(bus.publish(STREAM, ["no"])).rejects.toThrow(OutageError);
    await start();
    expect(await settled(bus, STREAM, 400)).toMatchObject({ stored: 400 });
  });

  test("an entry appended by hand is delivered as its fields, and the ledger still balances", async () => {
    await bus.publish(STREAM, ["before"]);
    await raw.xadd(STREAM, "*", "id", "0x123", "data", "00ff");
    await bus.publish(STREAM, ["after"]);
    const consumer = await start();
    await settled(bus, STREAM, 3);
    expect(consumer.stored).toEqual(["before", '{"id":"0x123","data":"00ff"}', "after"]);
    expect(consumer.lost).toEqual([]);
  });

  test("what a consumer removed by hand had is delivered again, and only that", async () => {
    for (let i = 0; i < 6; i++) await bus.publish(STREAM, [`m${i}`, `n${i}`]);
    const doomed = await bus.reader({ stream: STREAM, group: "postgres", consumer: "doomed" });
    const entries = await doomed.read(12, 1_000);
    while (entries.length < 6) entries.push(...(await doomed.read(12, 1_000)));
    const done = [entries[0], entries[3]].flatMap((entry) => (entry ? [entry.id] : []));
    await doomed.ack(done.map((id) => ({ id, stored: 2, duplicate: 0, quarantined: 0 })));
    await raw.xgroup("DELCONSUMER", STREAM, "postgres", "doomed");
    const consumer = await start();
    await waitFor(async () => (await bus.ledger(STREAM))[0]?.stored === 12, patient);
    expect(consumer.stored.sort()).toEqual(["m1", "m2", "m4", "m5", "n1", "n2", "n4", "n5"]);
    expect((await bus.ledger(STREAM))[0]).toMatchObject({ balanced: true, lost: 0, pending: 0 });
    expect(await raw.hget(`${STREAM}:ledger`, "postgres:settled")).toBe("12");
    expect((await raw.hkeys(`${STREAM}:ledger`)).filter((field) => field.includes(":settled:"))).toEqual([]);
    await doomed.close();
  });

  test("a loss that the reader who saw it took to its grave is named by the next one", async () => {
    const first = await bus.reader({ stream: STREAM, group: "postgres", consumer: "first" });
    for (const text of ["m1", "m2", "m3"]) await bus.publish(STREAM, [text]);
    await first.close();
    const entries = await raw.xrange(STREAM, "-", "+");
    await raw.xdel(STREAM, entries[1]?.[0] ?? "");
    await raw.xreadgroup("GROUP", "postgres", "dead", "COUNT", 10, "STREAMS", STREAM, ">");
    const consumer = await start({ consumer: "dead" });
    await waitFor(() => consumer.stored.length === 2 && consumer.lost.length > 0, patient);
    expect(consumer.stored.sort()).toEqual(["m1", "m3"]);
    expect(consumer.lost).toEqual([{ stream: STREAM, group: "postgres", from: 2, to: 2 }]);
    expect((await bus.ledger(STREAM))[0]?.lost).toBe(1);
  });

  test("a server that stood still longer than the redelivery time makes nobody process twice", async () => {
    for (let i = 0; i < 4; i++) await bus.publish(STREAM, [`m${i}`]);
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const holder = await start({ consumer: "holder", reclaimAfterMs: 800, work: () => gate });
    await waitFor(() => holder.batches.length > 0);
    const other = await start({ consumer: "other", reclaimAfterMs: 800 });
    await server.kill("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await server.kill("SIGCONT");
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    release();
    await settled(bus, STREAM, 4);
    const ids = [...holder.batches, ...other.batches].flat().map(({ id }) => id);
    expect(ids).toHaveLength(new Set(ids).size);
  });

  test("of the recent past trimming leaves about as many messages as it should", async () => {
    await start({ reclaimAfterMs: 200 });
    for (let i = 0; i < 200; i++) await bus.publish(STREAM, [`m${i}`]);
    await settled(bus, STREAM, 200);
    await waitFor(async () => (await bus.lag(STREAM)).entries < 100);
    expect((await bus.lag(STREAM)).entries).toBeGreaterThanOrEqual(45);
  });

  test("FLUSHALL under a reader and a publisher leaves both working", async () => {
    const consumer = await start({ reclaimAfterMs: 400 });
    await bus.publish(STREAM, ["a", "b"]);
    await settled(bus, STREAM, 2);
    await raw.flushall();
    await bus.publish(STREAM, ["c"]);
    await waitFor(() => consumer.stored.includes("c"));
    expect(await settled(bus, STREAM, 1)).toMatchObject({ stored: 1 });
  });

  test("a ledger that was deleted goes on from what the stream says", async () => {
    await bus.publish(STREAM, ["a", "b", "c"]);
    await raw.del(`${STREAM}:ledger`);
    await bus.publish(STREAM, ["d"]);
    const entries = await bus.browse(STREAM, { from: "-", count: 10 });
    expect(entries.map(({ ordinal }) => ordinal)).toEqual([1, 4]);
  });

  test("a clock of the server that was set back, and scripts that were flushed, stop no append", async () => {
    await raw.xadd(STREAM, `${Date.now() + 3_600_000}-5`, "by", "hand");
    await raw.script("FLUSH");
    await bus.publish(STREAM, ["a"]);
    await bus.publish(STREAM, ["b"]);
    expect((await bus.browse(STREAM, { from: "-", count: 10 })).flatMap((e) => e.messages)).toEqual([
      '{"by":"hand"}',
      "a",
      "b",
    ]);
  });

  /** Publishes one after the other until told to stop; gives what was accepted and why others were refused. */
  function publishOn() {
    const accepted: string[] = [];
    const refused: unknown[] = [];
    let running = true;
    const done = (async () => {
      for (let i = 0; running; i++) {
        await bus.publish(STREAM, [`p${i}`]).then(
          () => accepted.push(`p${i}`),
          (error) => refused.push(error),
        );
      }
    })();
    const stop = () => {
      running = false;
      return done;
    };
    return { accepted, refused, stop };
  }

  test("a server that is made a replica refuses appends, and holds consumers up until it is a primary again", async () => {
    const consumer = await start({ reclaimAfterMs: 400 });
    const load = publishOn();
    await waitFor(() => consumer.stored.length > 20, patient);
    await raw.call("REPLICAOF", "127.0.0.1", "1");
    await waitFor(() => load.refused.length > 3, patient);
    for (const error of load.refused) expect(error).toBeInstanceOf(OutageError);
    expect(String(load.refused[0])).toContain("READONLY");
    await raw.call("REPLICAOF", "NO", "ONE");
    const before = load.accepted.length;
    await waitFor(() => load.accepted.length > before + 20, patient);
    await load.stop();
    expect(await settled(bus, STREAM, load.accepted.length)).toMatchObject({ lost: 0 });
    expect(consumer.stored).toEqual(load.accepted);
  });

  test("a server that loads its data is an outage, and what was accepted before and after is stored", async () => {
    for (let i = 0; i < 40; i++) await raw.set(`k${i}`, "x".repeat(2_000));
    const consumer = await start({ reclaimAfterMs: 5_000 });
    const load = publishOn();
    await waitFor(() => consumer.stored.length > 20, patient);
    await raw.config("SET", "key-load-delay", 25_000, "loading-process-events-interval-bytes", 1_024);
    await raw.call("DEBUG", "RELOAD");
    const before = load.accepted.length;
    await waitFor(() => load.accepted.length > before + 20, patient);
    await load.stop();
    expect(load.refused.map(String).join()).toContain("LOADING");
    for (const error of load.refused) expect(error).toBeInstanceOf(OutageError);
    expect(await settled(bus, STREAM, load.accepted.length)).toMatchObject({ lost: 0 });
    expect(new Set(consumer.stored)).toEqual(new Set(load.accepted));
  });

  test("settings that lose acknowledged messages are warned of, and refused where durability is required", async () => {
    const warnings: string[] = [];
    const note = (_: object, text: string) => warnings.push(text);
    const log = { debug: () => {}, info: () => {}, warn: note, error: () => {} };
    const tolerant = await openBus(lax.url, { log });
    expect(warnings).toEqual([expect.stringContaining("appendfsync is not always")]);
    await tolerant.close();
    await expect(openBus(lax.url, { requireDurable: true })).rejects.toThrow("appendfsync is not always");
    await (await openBus(server.url, { requireDurable: true })).close();
  });

  test("a user who may not read the configuration is warned, not refused", async () => {
    await raw.call("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-config");
    const warnings: string[] = [];
    const log = { debug() {}, info() {}, warn: (_: object, text: string) => warnings.push(text), error() {} };
    const url = server.url.replace("redis://", "redis://app:pw@");
    const limited = await openBus(url, { log, requireDurable: true });
    await limited.publish(STREAM, ["a"]);
    expect(warnings).toHaveLength(1);
    await limited.close();
  });

  test("a wrong password is a configuration error, not an outage", async () => {
    const failed = await openBus(lax.url.replace("secret", "wrong")).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(Error);
    expect(failed).not.toBeInstanceOf(OutageError);
  });
});
