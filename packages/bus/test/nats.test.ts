import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { startProxy, useNats, waitFor } from "@sluice/testkit";
import { connect, type JetStreamManager, type NatsConnection } from "nats";
import { type Bus, openBus } from "../src/index.ts";
import { type ConsumerSetup, outcome, settled, startConsumer } from "./consumer.ts";
import { natsName } from "./drivers.ts";

const TRIM = { everyMs: 50, keepMs: 0, keepMessages: 0 };
const patient = { timeoutMs: 25_000 };

describe("the NATS driver", () => {
  const server = useNats();
  let bus: Bus;
  let raw: NatsConnection;
  let jsm: JetStreamManager;
  let stream: string;
  let streams = 0;
  const closing: (() => Promise<unknown>)[] = [];

  beforeEach(async () => {
    raw = await connect({ servers: server.url });
    jsm = await raw.jetstreamManager();
    bus = await openBus(server.url, { trim: TRIM });
    stream = `test:${++streams}:{0}`;
    closing.push(() => raw.close(), bus.close);
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  async function start(setup: Partial<ConsumerSetup> = {}) {
    const consumer = await startConsumer(bus, { stream, ...setup });
    closing.push(() => consumer.stop().catch(() => undefined));
    return consumer;
  }
  async function publishSingly(count: number): Promise<void> {
    for (let i = 1; i <= count; i++) await bus.publish(stream, [`m${i}`]);
  }
  /** A reader on a connection of its own that takes one entry at a time, and a way to kill it. */
  async function openDoomed() {
    const proxy = await startProxy(server.port);
    const far = await openBus(`nats://127.0.0.1:${proxy.port}`, { trim: TRIM });
    closing.push(proxy.close, far.close);
    const reader = await far.reader({ stream, group: "postgres", consumer: "doomed", reclaimAfterMs: 500 });
    const kill = () => {
      proxy.refuse();
      proxy.cutAll();
    };
    return { reader, kill };
  }

  test("a purge by hand names what it took, and nothing that was pending is forgotten", async () => {
    await publishSingly(4);
    const { reader, kill } = await openDoomed();
    for (let i = 0; i < 3; i++) expect(await reader.read(1, 5_000)).toHaveLength(1);
    kill();
    await jsm.streams.purge(natsName(stream), { seq: 2 });
    const consumer = await start({ reclaimAfterMs: 500 });
    await waitFor(() => consumer.stored.length >= 3 && consumer.lost.length > 0, patient);
    expect([...consumer.stored].sort()).toEqual(["m2", "m3", "m4"]);
    expect(consumer.lost).toEqual([{ stream, group: "postgres", from: 1, to: 1 }]);
    const line = await waitFor(async () => {
      const [found] = await bus.ledger(stream);
      return found?.stored === 3 && found;
    }, patient);
    expect(line).toMatchObject({ accepted: 4, lost: 1, pending: 0, unread: 0, balanced: false });
  });

  test("an entry deleted by hand in the middle is named as lost, its neighbours are not", async () => {
    await publishSingly(5);
    await bus.ensureGroup(stream, "postgres");
    await jsm.streams.deleteMessage(natsName(stream), 3);
    const consumer = await start();
    await waitFor(() => consumer.lost.length > 0 && consumer.stored.length === 4, patient);
    expect(consumer.lost).toEqual([{ stream, group: "postgres", from: 3, to: 3 }]);
    await bus.publish(stream, ["m6"]);
    await waitFor(() => consumer.stored.includes("m6"), patient);
    expect(consumer.lost).toHaveLength(1);
  });

  test("a message that others published is delivered as it is, and stays until it is acknowledged", async () => {
    await bus.publish(stream, ["before"]);
    await raw.jetstream().publish(natsName(stream), "by hand");
    await bus.publish(stream, ["after"]);
    const reader = await bus.reader({ stream, group: "postgres", consumer: "c1", reclaimAfterMs: 500 });
    closing.push(reader.close);
    const texts: string[] = [];
    // What is released may come again before the next one is there.
    while (!texts.includes("after")) {
      const [entry] = await reader.read(1, 5_000);
      texts.push(...(entry?.messages ?? []));
      if (entry && entry.ordinal > 0) await reader.ack([outcome(entry)]);
      else if (entry) reader.release([entry.id]);
    }
    await waitFor(async () => (await bus.lag(stream)).entries === 2, patient);
    const left = await waitFor(async () => {
      const found = await reader.read(1, 500);
      return found.length > 0 && found;
    }, patient);
    texts.push(...left.flatMap(({ messages }) => messages));
    expect([...new Set(texts)].sort()).toEqual(["after", "before", "by hand"]);
    await reader.ack(left.map((entry) => outcome(entry)));
    await settled(bus, stream, 3);
    await waitFor(async () => (await bus.lag(stream)).entries === 1, patient);
    expect(reader.losses()).toEqual([]);
  });

  test("what was counted before the acknowledgement could go out is not handed out again", async () => {
    await publishSingly(3);
    const { reader, kill } = await openDoomed();
    const [entry] = await reader.read(1, 5_000);
    const counting = reader.ack(entry ? [outcome(entry)] : []);
    kill();
    const counted = await counting.then(
      () => true,
      () => false,
    );
    const consumer = await start({ reclaimAfterMs: 500 });
    const line = await settled(bus, stream, 3);
    expect(line).toMatchObject({ stored: 3, lost: 0 });
    if (counted) expect(consumer.stored).not.toContain("m1");
    expect(new Set(consumer.stored).size).toBe(consumer.stored.length);
  });

  test("a stream that lost its end gives no ordinal out twice, so nothing new is swallowed", async () => {
    const keep = { trim: { everyMs: 50, keepMs: 60_000, keepMessages: 100 } };
    const old = await openBus(server.url, keep);
    closing.push(old.close);
    await old.publish(stream, ["m1"]);
    await old.publish(stream, ["m2"]);
    await raw.jetstream().publish(natsName(stream), "by hand");
    const first = await startConsumer(old, { stream });
    await waitFor(() => first.stored.length === 3, patient);
    await settled(old, stream, 3);
    await first.stop();
    await old.close();
    await jsm.streams.deleteMessage(natsName(stream), 2);
    const fresh = await openBus(server.url, keep);
    closing.push(fresh.close);
    await fresh.publish(stream, ["m3"]);
    const consumer = await start();
    await settled(bus, stream, 4);
    expect(consumer.stored).toEqual(["m3"]);
    await consumer.stop();
    await jsm.streams.delete(natsName(stream));
    const again = await openBus(server.url, keep);
    closing.push(again.close);
    await again.publish(stream, ["m4"]);
    const next = await start();
    await waitFor(() => next.stored.length > 0, patient);
    expect(next.stored).toEqual(["m4"]);
    expect(next.lost).toEqual([]);
  });
});
