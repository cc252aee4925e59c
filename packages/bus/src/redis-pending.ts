import type { Redis } from "ioredis";
import type { PendingEntries } from "./pending-entries.ts";
import { GIVEN_BACK_MS, type RawEntry, toEntry } from "./redis-upkeep.ts";

type Ask = <T>(command: (redis: Redis) => Promise<T>) => Promise<T>;
type Row = [id: string, consumer: string, idleMs: number, attempts: number];

/** Consumer in whose name entries are that were taken away; it is swept when it holds none. */
const NOBODY = "operator";

/** {@link PendingEntries} on Redis Streams. */
export function createRedisPending(ask: Ask): PendingEntries {
  return {
    list: (stream, group, { count, after, consumer }) =>
      ask(async (redis) => {
        const from = after === undefined ? "-" : `(${after}`;
        const rest = consumer === undefined ? [] : [consumer];
        const rows = (await redis.call("XPENDING", stream, group, from, "+", count, ...rest)) as Row[];
        const time = (await redis.call("TIME")) as [string, string];
        const nowMs = Number(time[0]) * 1000;
        const entries = await Promise.all(
          rows.map(([id]) => redis.call("XRANGE", stream, id, id) as Promise<RawEntry[]>),
        );
        return rows.map(([id, name, idleMs, attempts], i) => {
          const [entry] = entries[i] ?? [];
          const messages = entry === undefined ? 0 : toEntry(entry, attempts).messages.length;
          const ageMs = Math.max(0, nowMs - Number.parseInt(id, 10));
          return { id, consumer: name, messages, ageMs, idleMs, attempts };
        });
      }),
    takeAway: (stream, group, ids) =>
      ask(async (redis) => {
        if (ids.length === 0) return [];
        // Idle for so long that any reader takes them over at its next look; their holder sees that they are gone.
        const how = ["IDLE", GIVEN_BACK_MS, "JUSTID"] as const;
        return (await redis.call("XCLAIM", stream, group, NOBODY, 0, ...ids, ...how)) as string[];
      }),
  };
}
