import { hostname } from "node:os";
import { OutageError } from "@sluice/shared-types";
import type { Redis } from "ioredis";
import type { BrowseOptions, Bus, Entry, Reader } from "./bus.ts";
import type { Log } from "./log.ts";
import { type Appender, createAppender } from "./redis-appender.ts";
import { classify, openConnection, whenReady } from "./redis-connection.ts";
import { checkDurability } from "./redis-durability.ts";
import { ENSURE, RESUME } from "./redis-group-scripts.ts";
import { streamKeys } from "./redis-keys.ts";
import { readLag, readLedger } from "./redis-numbers.ts";
import { createRedisParking, readFates, readRoom } from "./redis-parking.ts";
import { createRedisPending } from "./redis-pending.ts";
import { openRedisReader } from "./redis-reader.ts";
import { runScript } from "./redis-script.ts";
import { type RawEntry, toEntry } from "./redis-upkeep.ts";
import type { TrimPolicy } from "./trim-policy.ts";

const READY_WAIT_MS = 5_000;
const PING_WAIT_MS = 1_000;
const CLOSE_WAIT_MS = 5_000;

/** What a bus on one Redis is told. */
export interface RedisBusOptions {
  log: Log;
  requireDurable: boolean;
  trim: TrimPolicy;
  /** How many replicas must have an append before it is accepted. */
  replicas?: number;
  /** Count on above the last ordinal this process was given, where the server knows a lower one. */
  aboveKnown?: boolean;
}

/** The Redis Streams driver, on the Redis at `url`; see {@link openRedisBusOn}. */
export function openRedisBus(url: string, options: RedisBusOptions): Promise<Bus> {
  return openRedisBusOn((name) => openConnection(url, name, options.log), options);
}

/**
 * The Redis Streams driver. An entry has the fields `o` (ordinal of its first message), `n` (count) and one
 * `m` per message; `<stream>:ledger` counts.
 * @throws OutageError where the server cannot be reached; with `requireDurable`, Error where
 * its settings lose acknowledged messages
 */
export async function openRedisBusOn(
  connect: (name: string) => Promise<Redis>,
  { log, requireDurable, trim, replicas = 0, aboveKnown = false }: RedisBusOptions,
): Promise<Bus> {
  const name = `sluice-${hostname()}-${process.pid}`;
  const redis = await connect(name);
  // Waiting for replicas holds up a connection: nothing else may be on it.
  const appending = replicas > 0 ? await connect(`${name}-append`) : redis;
  const appenders = new Map<string, Appender>();
  const readers = new Set<Reader>();
  let closing: Promise<void> | undefined;
  try {
    await checkDurability(redis, requireDurable, log);
  } catch (error) {
    redis.disconnect();
    appending.disconnect();
    throw classify(error);
  }

  /** Runs a command that may be repeated; what the connection does is an outage. */
  async function ask<T>(command: (redis: Redis) => Promise<T>, waitMs = READY_WAIT_MS): Promise<T> {
    try {
      await whenReady(redis, waitMs);
      return await command(redis);
    } catch (error) {
      throw classify(error);
    }
  }

  function appender(stream: string): Appender {
    let found = appenders.get(stream);
    if (!found) {
      found = createAppender(appending, stream, streamKeys(stream), { log, replicas, aboveKnown });
      appenders.set(stream, found);
    }
    return found;
  }

  async function browse(stream: string, { from, count, reverse }: BrowseOptions): Promise<Entry[]> {
    if (count <= 0 || from === "$") return [];
    const range = reverse
      ? ["XREVRANGE", stream, from === "-" ? "+" : from, "-"]
      : ["XRANGE", stream, from, "+"];
    const [command = "", ...args] = range;
    const raw = await ask((r) => r.call(command, ...args, "COUNT", count) as Promise<RawEntry[]>);
    return raw.map((entry) => toEntry(entry, 0));
  }

  return {
    async publish(stream, messages) {
      if (closing) throw new OutageError("redis", "the bus is closed");
      return appender(stream).publish(messages);
    },
    ensureGroup: (stream, group) =>
      ask(async (r) => {
        await runScript(r, ENSURE, streamKeys(stream), [group]);
      }),
    async reader(options) {
      const blocking = await connect(`${name}-${options.consumer}`);
      try {
        const reader = await openRedisReader({ redis, blocking, trim, log }, options);
        readers.add(reader);
        return {
          ...reader,
          close: () => reader.close().finally(() => readers.delete(reader)),
        };
      } catch (error) {
        blocking.disconnect();
        throw classify(error);
      }
    },
    lag: (stream) => ask((r) => readLag(r, stream)),
    ledger: (stream) => ask((r) => readLedger(r, stream)),
    browse,
    room: () => ask(readRoom),
    resume: (stream, accepted) =>
      ask(async (r) => (await runScript(r, RESUME, streamKeys(stream), [accepted])) === 1),
    fates: (stream, id) => ask((r) => readFates(r, stream, id)),
    parking: createRedisParking(ask),
    pending: createRedisPending(ask),
    ping: () =>
      ask(async (r) => {
        await r.call("PING");
      }, PING_WAIT_MS),
    close() {
      closing ??= (async () => {
        await Promise.all([...readers].map((reader) => reader.close()));
        await Promise.all([...appenders.values()].map((a) => a.close(CLOSE_WAIT_MS)));
        redis.disconnect();
        appending.disconnect();
      })();
      return closing;
    },
  };
}
