import { setTimeout as delay } from "node:timers/promises";
import { type Cluster, Redis } from "ioredis";
import type { Sighting } from "./key-value.ts";
import { parseClusterUrl } from "./redis-cluster-map.ts";

/** How long until the next try to reconnect. */
export const retryAfterMs = (times: number) => Math.min(100 * times, 2000);

// In a cluster the three keys of a device are on three nodes: only the newest of them can be told atomically.
const SEEN = `
local seen = redis.call('GET', KEYS[1])
if seen and seen > ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 86400)
return 1`;

/** A client of the whole cluster at `url`, not connected yet. */
export function createCluster(url: string): Cluster {
  const { nodes, login } = parseClusterUrl(url);
  return new Redis.Cluster([...nodes], {
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: retryAfterMs,
    redisOptions: { ...login, maxRetriesPerRequest: 0, connectTimeout: 5000 },
  });
}

/** A cluster that is not complete leaves `connect` waiting for ever. */
export async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  const timer = new AbortController();
  const late = delay(timeoutMs, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`no answer within ${timeoutMs} ms`);
  });
  late.catch(() => {}); // aborted, or raced already
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}

/** Notes one sighting; see `KeyValue.sight`. Safe to repeat. */
export async function sightInCluster(redis: Redis | Cluster, sighting: Sighting): Promise<void> {
  const { device, atMs, status, heartbeat } = sighting;
  const at = new Date(atMs).toISOString();
  const newest = (await redis.eval(SEEN, 1, `device:lastseen:${device}`, at)) === 1;
  if (newest) await redis.set(`device:status:${device}`, status, "EX", 86_400);
  if (heartbeat) await redis.set(`heartbeat:${device}`, at, "EX", 300);
}
