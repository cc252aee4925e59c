import { OutageError } from "@sluice/shared-types";
import type { Bus } from "./bus.ts";
import type { Log } from "./log.ts";
import { openRedisBusOn } from "./redis.ts";
import { connectorTo, createClusterMap, parseClusterUrl } from "./redis-cluster-map.ts";
import { openConnection } from "./redis-connection.ts";
import type { TrimPolicy } from "./trim-policy.ts";

/**
 * Redis Streams on a Redis Cluster. A stream and all that belongs to it have one slot, by their hash tag, and so one
 * primary: for each slot in use this is the driver of a single Redis, on connections that find that primary, and its
 * successor after a failover.
 *
 * Replication is asynchronous: a primary that dies takes with it what no replica had. With `?replicas=1` an append is
 * accepted only when a replica has it, too. What is lost all the same is named: an appender knows the last ordinal it
 * was given, so that the stream goes on above it, and every group finds the gap.
 */
export async function openRedisClusterBus(
  url: string,
  options: { log: Log; requireDurable: boolean; trim: TrimPolicy },
): Promise<Bus> {
  const address = parseClusterUrl(url);
  const map = createClusterMap(address);
  const [first = { host: "", port: 0 }] = address.nodes;
  const base = `${address.login.tls ? "rediss" : "redis"}://${first.host}:${first.port}`;
  const slots = new Map<string, Promise<number>>();
  const buses = new Map<number, Promise<Bus>>();
  let closing: Promise<void> | undefined;

  /** Forgets a promise that was rejected, so that it is tried again. */
  function remember<K, V>(cache: Map<K, Promise<V>>, key: K, make: () => Promise<V>): Promise<V> {
    const found = cache.get(key);
    if (found) return found;
    const made = make().catch((error: unknown) => {
      cache.delete(key);
      throw error;
    });
    cache.set(key, made);
    return made;
  }

  const openSlot = (slot: number) => {
    const Connector = connectorTo(map, slot, address);
    const extra = {
      ...address.login,
      Connector,
      // The slot has another primary now: the connection finds it.
      reconnectOnError: (error: Error) =>
        (/^(MOVED|ASK|READONLY) /.test(error.message) ? 1 : false) as 1 | false,
    };
    return openRedisBusOn((name) => openConnection(base, name, options.log, extra), {
      ...options,
      replicas: address.replicas,
      aboveKnown: true,
    });
  };

  async function busOf(stream: string): Promise<Bus> {
    if (closing) throw new OutageError("redis", "the bus is closed");
    const slot = await remember(slots, stream, () => map.slotOf(stream));
    return remember(buses, slot, () => openSlot(slot));
  }

  const opened = async () =>
    (await Promise.allSettled(buses.values())).flatMap((one) =>
      one.status === "fulfilled" ? [one.value] : [],
    );
  const parkingOf = async (stream: string) => {
    const { parking } = await busOf(stream);
    if (!parking) throw new Error("a Redis without parking");
    return parking;
  };
  const pendingOf = async (stream: string) => {
    const { pending } = await busOf(stream);
    if (!pending) throw new Error("a Redis that does not show pending entries");
    return pending;
  };

  await map.slotOf("sluice"); // somebody must answer
  return {
    publish: async (stream, messages) => (await busOf(stream)).publish(stream, messages),
    ensureGroup: async (stream, group) => (await busOf(stream)).ensureGroup(stream, group),
    reader: async (reading) => (await busOf(reading.stream)).reader(reading),
    lag: async (stream) => (await busOf(stream)).lag(stream),
    ledger: async (stream) => (await busOf(stream)).ledger(stream),
    browse: async (stream, range) => (await busOf(stream)).browse(stream, range),
    resume: async (stream, accepted) => (await busOf(stream)).resume(stream, accepted),
    fates: async (stream, id) => (await busOf(stream)).fates(stream, id),
    /** Of the fullest node: at its limit appends to its partitions fail. */
    async room() {
      const rooms = await Promise.all((await opened()).map((bus) => bus.room()));
      const share = ({ usedBytes, maxBytes }: (typeof rooms)[number]) =>
        (usedBytes ?? 0) / (maxBytes ?? Number.POSITIVE_INFINITY);
      return rooms.sort((a, b) => share(b) - share(a))[0] ?? { usedBytes: null, maxBytes: null };
    },
    parking: {
      find: async (stream, group, what) => (await parkingOf(stream)).find(stream, group, what),
      park: async (stream, group, name, ids) => (await parkingOf(stream)).park(stream, group, name, ids),
      unpark: async (stream, group, name, outcome) =>
        (await parkingOf(stream)).unpark(stream, group, name, outcome),
      list: async (stream, group) => (await parkingOf(stream)).list(stream, group),
      trim: async (stream, keepMs) => (await parkingOf(stream)).trim(stream, keepMs),
    },
    pending: {
      list: async (stream, group, what) => (await pendingOf(stream)).list(stream, group, what),
      takeAway: async (stream, group, ids) => (await pendingOf(stream)).takeAway(stream, group, ids),
    },
    async ping() {
      const all = await opened();
      if (all.length === 0) await map.slotOf("sluice");
      await Promise.all(all.map((bus) => bus.ping()));
    },
    close() {
      closing ??= opened().then(async (all) => {
        await Promise.all(all.map((bus) => bus.close()));
      });
      return closing;
    },
  };
}
