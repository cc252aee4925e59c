import type { Redis } from "ioredis";
import type { Room } from "./bus.ts";
import type { Parking } from "./parking.ts";
import { FATES } from "./redis-group-scripts.ts";
import { streamKeys } from "./redis-keys.ts";
import { TRIM } from "./redis-loss-scripts.ts";
import { FIND_PARKABLE, PARK, UNPARK } from "./redis-parking-scripts.ts";
import { runScript } from "./redis-script.ts";
import { type RawEntry, toEntry } from "./redis-upkeep.ts";

type Ask = <T>(command: (redis: Redis) => Promise<T>) => Promise<T>;

const KEEP_MESSAGES = 100_000;
const parkedKey = (stream: string) => streamKeys(stream)[1].replace(/:ledger$/, ":parked");

/** {@link Parking} on Redis: `<stream>:parked` is a hash of `<group>/<name>` to messages. */
export function createRedisParking(ask: Ask): Parking {
  const keys = (stream: string) => [...streamKeys(stream), parkedKey(stream)];
  return {
    find: (stream, group, { after, maxBytes, minAgeMs }) =>
      ask(async (r) => {
        const args = [group, after, Math.ceil(maxBytes), Math.ceil(minAgeMs)];
        const raw = (await runScript(r, FIND_PARKABLE, streamKeys(stream), args)) as RawEntry[];
        return raw.map((entry) => toEntry(entry, 0));
      }),
    park: (stream, group, name, ids) =>
      ask(async (r) => (await runScript(r, PARK, keys(stream), [group, name, ...ids])) === 1),
    unpark: (stream, group, name, { stored, duplicate, quarantined }) =>
      ask(
        async (r) =>
          (await runScript(r, UNPARK, keys(stream), [group, name, stored, duplicate, quarantined])) === 1,
      ),
    list: (stream, group) =>
      ask(async (r) => {
        const all = Object.entries(await r.hgetall(parkedKey(stream)));
        const own = all.filter(([field]) => field.startsWith(`${group}/`));
        return new Map(own.map(([field, count]) => [field.slice(group.length + 1), Number(count)]));
      }),
    trim: (stream, keepMs) =>
      ask(async (r) => {
        await runScript(r, TRIM, streamKeys(stream), [0, keepMs, KEEP_MESSAGES]);
      }),
  };
}

/** See {@link Bus.room}. */
export async function readRoom(redis: Redis): Promise<Room> {
  const memory = String(await redis.call("INFO", "memory"));
  const bytes = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(memory)?.[1] ?? 0) || null;
  return { usedBytes: bytes("used_memory"), maxBytes: bytes("maxmemory") };
}

/** See {@link Bus.fates}. */
export async function readFates(redis: Redis, stream: string, id: string) {
  const reply = (await runScript(redis, FATES, streamKeys(stream), [id])) as string[];
  const fates: { group: string; state: "unread" | "pending" | "settled" }[] = [];
  for (let i = 0; i + 1 < reply.length; i += 2) {
    fates.push({ group: reply[i] ?? "", state: reply[i + 1] as "unread" });
  }
  return fates;
}
