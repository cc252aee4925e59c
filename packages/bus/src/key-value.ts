import { setTimeout as delay } from "node:timers/promises";
import { OutageError, type Resource } from "@sluice/shared-types";
import { type Cluster, Redis } from "ioredis";
import { createCluster, retryAfterMs, sightInCluster, within } from "./redis-cluster-key-value.ts";
import { isClusterUrl } from "./redis-cluster-map.ts";

/** The part of a logger that this needs. */
interface Log {
  warn(obj: object, msg: string): void;
}

/** When a device was last heard of, and what it then said of itself. */
export interface Sighting {
  device: string;
  /** Epoch milliseconds. */
  atMs: number;
  /** What it said, where it said so; merely being heard of makes it `online`. */
  status: "online" | "offline";
  /** It was a heartbeat. */
  heartbeat: boolean;
}

/** Small shared facts with a time to live, kept beside the bus: durable before a promise resolves. */
export interface KeyValue extends Resource {
  /**
   * Keeps `value` under (`key`, `field`) unless something is there, and resolves with what is there then. Safe
   * to repeat. The whole key lives `ttlMs` from its latest reservation. Rejects with OutageError after 10 s
   * without a server.
   */
  reserve(key: string, field: string, value: string, ttlMs: number): Promise<string>;
  /** Replaces what is under (`key`, `field`), where it is still there. */
  settle(key: string, field: string, value: string): Promise<void>;
  /** Keeps a text without time limit. */
  put(key: string, text: string): Promise<void>;
  /** Keeps a text for `ttlMs`: a copy of what is known elsewhere. */
  remember(key: string, text: string, ttlMs: number): Promise<void>;
  /** The text under `key`, if any. */
  find(key: string): Promise<string | undefined>;
  /** How many of these keys there are. */
  count(keys: readonly string[]): Promise<number>;
  /** Takes these keys away. */
  forget(keys: readonly string[]): Promise<void>;
  /** The server behind it. */
  describe(): Promise<{ version: string; uptimeSeconds: number }>;
  /** Takes or prolongs the name for `holder` where it is free or its own; resolves with who holds it then. */
  claim(name: string, holder: string, ttlMs: number): Promise<string>;
  /** Frees the name if it is `holder`'s. */
  release(name: string, holder: string): Promise<void>;
  /**
   * Notes sightings: the newest by time wins per device, whatever order they come in. Sets document B's keys
   * `device:status:{id}`, `device:lastseen:{id}` (ISO; both for 24 h) and `heartbeat:{id}` (300 s).
   */
  sight(sightings: readonly Sighting[]): Promise<void>;
}

const RETRY_FOR_MS = 10_000;
const OPEN_TIMEOUT_MS = 10_000;

const RESERVE = `
local out = {}
for i = 1, #KEYS do
  local field, value, ttl = ARGV[i*3-2], ARGV[i*3-1], ARGV[i*3]
  if redis.call('HSETNX', KEYS[i], field, value) == 1 then
    redis.call('PEXPIRE', KEYS[i], ttl)
    out[i] = value
  else
    out[i] = redis.call('HGET', KEYS[i], field)
  end
end
return out`;

const SETTLE = `
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 1`;

const CLAIM = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]`;

const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1`;

// ISO text of one form sorts as time does, so the newest can be told without parsing.
const SIGHT = `
for i = 1, #ARGV, 4 do
  local id, at, status, beat = ARGV[i], ARGV[i+1], ARGV[i+2], ARGV[i+3]
  local seen = redis.call('GET', 'device:lastseen:' .. id)
  if not seen or seen <= at then
    redis.call('SET', 'device:lastseen:' .. id, at, 'EX', 86400)
    redis.call('SET', 'device:status:' .. id, status, 'EX', 86400)
  end
  if beat == '1' then redis.call('SET', 'heartbeat:' .. id, at, 'EX', 300) end
end
return 1`;

interface Reservation {
  args: [key: string, field: string, value: string, ttlMs: number];
  resolve(value: string): void;
  reject(error: unknown): void;
}

/** Opens the key-value side of the Redis at `url`, on a connection of its own. The caller closes it. */
export async function openKeyValue(url: string, options: { log?: Log } = {}): Promise<KeyValue> {
  const clustered = isClusterUrl(url);
  const redis: Redis | Cluster = clustered ? createCluster(url) : createSingle(url);
  redis.on("error", (error: Error) => options.log?.warn({ err: error }, "connection to redis lost"));
  try {
    await within(redis.connect(), OPEN_TIMEOUT_MS);
  } catch (cause) {
    redis.disconnect();
    throw new OutageError("redis", `cannot reach redis: ${(cause as Error).message}`, undefined, { cause });
  }
  const run = <T>(command: () => Promise<T>) => retried(redis, command);
  const reserveAll = (keys: string[], args: string[]) =>
    run(() => redis.eval(RESERVE, keys.length, ...keys, ...args) as Promise<string[]>);
  // Keys of a cluster are reserved one by one: each has a node of its own.
  const reserveEach = async (keys: string[], args: string[]) =>
    (await Promise.all(keys.map((key, i) => reserveAll([key], args.slice(3 * i, 3 * i + 3))))).flat();
  const reserve = createReservations(clustered ? reserveEach : reserveAll);
  let closed = false;
  return {
    reserve,
    settle: async (key, field, value) => void (await run(() => redis.eval(SETTLE, 1, key, field, value))),
    put: async (key, text) => void (await run(() => redis.set(key, text))),
    remember: async (key, text, ttlMs) =>
      void (await run(() => redis.set(key, text, "PX", Math.ceil(ttlMs)))),
    find: async (key) => (await run(() => redis.get(key))) ?? undefined,
    count: async (keys) => (keys.length === 0 ? 0 : run(() => redis.exists(...keys))),
    forget: async (keys) => {
      if (keys.length > 0) await run(() => redis.del(...keys));
    },
    describe: async () => {
      const info = await run(() => redis.info("server"));
      const value = (name: string) => new RegExp(`^${name}:(\\S+)`, "m").exec(info)?.[1] ?? "";
      return { version: value("redis_version"), uptimeSeconds: Number(value("uptime_in_seconds")) };
    },
    claim: (name, holder, ttlMs) =>
      run(() => redis.eval(CLAIM, 1, `sluice:lease:${name}`, holder, ttlMs) as Promise<string>),
    release: async (name, holder) =>
      void (await run(() => redis.eval(RELEASE, 1, `sluice:lease:${name}`, holder))),
    sight: async (sightings) => {
      if (clustered) {
        await Promise.all(sightings.map((sighting) => run(() => sightInCluster(redis, sighting))));
        return;
      }
      const args = sightings.flatMap(({ device, atMs, status, heartbeat }) => [
        device,
        new Date(atMs).toISOString(),
        status,
        heartbeat ? "1" : "0",
      ]);
      if (args.length > 0) await run(() => redis.eval(SIGHT, 0, ...args));
    },
    ping: async () => {
      if (redis.status !== "ready") throw new OutageError("redis", `connection is ${redis.status}`);
      await redis.ping();
    },
    close: async () => {
      if (closed) return;
      closed = true;
      await redis.quit().catch(() => redis.disconnect());
    },
  };
}

function createSingle(url: string): Redis {
  return new Redis(url, {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    connectTimeout: 5000,
    retryStrategy: retryAfterMs,
  });
}

/** Collects the reservations of one turn of the event loop into one call. */
function createReservations(call: (keys: string[], args: string[]) => Promise<string[]>) {
  let waiting: Reservation[] = [];
  const flush = () => {
    const batch = waiting;
    if (batch.length === 0) return;
    waiting = [];
    const keys = batch.map(({ args }) => args[0]);
    call(
      keys,
      batch.flatMap(({ args: [, field, value, ttlMs] }) => [field, value, String(Math.ceil(ttlMs))]),
    ).then(
      (values) => {
        for (const [i, { args, resolve }] of batch.entries()) resolve(values[i] ?? args[2]);
      },
      (error: unknown) => {
        for (const { reject } of batch) reject(error);
      },
    );
  };
  return (...args: Reservation["args"]) =>
    new Promise<string>((resolve, reject) => {
      if (waiting.length === 0) setImmediate(flush);
      waiting.push({ args, resolve, reject });
      if (waiting.length >= 1000) flush();
    });
}

/** Every command here may be repeated, so a cut connection only means trying again for a while. */
async function retried<T>(redis: Redis | Cluster, command: () => Promise<T>): Promise<T> {
  const until = Date.now() + RETRY_FOR_MS;
  for (let waitMs = 20; ; waitMs = Math.min(waitMs * 2, 1000)) {
    try {
      return await command();
    } catch (cause) {
      const reason = (cause as Error).message;
      const passing =
        redis.status !== "ready" ||
        /^(LOADING|BUSY|TRYAGAIN|CLUSTERDOWN|MOVED|READONLY)|Connection is closed|max retries/i.test(reason);
      if (!passing || redis.status === "end" || Date.now() + waitMs > until) {
        throw new OutageError("redis", reason, undefined, { cause });
      }
      await delay(waitMs);
    }
  }
}
