import { hostname } from "node:os";
import { OutageError } from "@sluice/shared-types";
import type { Redis } from "ioredis";
import type { BrowseOptions, Bus, Entry, Reader } from "./bus.ts";
import type { Log } from "./log.ts";
import { type Appender, createAppender } from "./redis-appender.ts";
import { classify, openConnection, whenReady } from "./redis-connection.ts";
import { checkDurability } from "./redis-durability.ts";
import { streamKeys } from "./redis-keys.ts";
import { readLag, readLedger } from "./redis-numbers.ts";
import { createRedisParking, readFates, readRoom } from "./redis-parking.ts";
import { createRedisPending } from "./redis-pending.ts";
import { openRedisReader } from "./redis-reader.ts";
import { ENSURE, RESUME, runScript } from "./redis-scripts.ts";
import { type RawEntry, toEntry } from "./redis-upkeep.ts";
import type { TrimPolicy } from "./trim-policy.ts";

const READY_WAIT_MS = 5_000;
const PING_WAIT_MS = 1_000;
const CLOSE_WAIT_MS = 5_000;

/**
 * The Redis Streams driver. An entry has the fields `o` (ordinal of its first message), `n` (count) and one
 * `m` per message; `<stream>:ledger` counts.
 * @throws OutageError where the server cannot be reached; with `requireDurable`, Error where
 * its settings lose acknowledged messages
 */
export async function openRedisBus(
  url: string,
  { log, requireDurable, trim }: { log: Log; requireDurable: boolean; trim: TrimPolicy },
): Promise<Bus> {
  const name = `sluice-${hostname()}-${process.pid}`;
  const redis = await openConnection(url, name, log);
  const appenders = new Map<string, Appender>();
  const readers = new Set<Reader>();
  let closing: Promise<void> | undefined;
  try {
    await checkDurability(redis, requireDurable, log);
  } catch (error) {
    redis.disconnect();
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
      found = createAppender(redis, stream, streamKeys(stream), log);
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
      const blocking = await openConnection(url, `${name}-${options.consumer}`, log);
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
      })();
      return closing;
    },
  };
}
