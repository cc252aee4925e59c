import {
  type Db,
  listNodeStatus,
  listWaterAnomalies,
  logCacheSync,
  summariseNetwork,
  summariseNodes,
} from "@sluice/db";
import { mapBounded } from "./map-bounded.ts";

/** Where copies are kept for a while. */
export interface CacheWriter {
  remember(key: string, text: string, ttlMs: number): Promise<void>;
}

/** Ranges that the cache has figures of, back from the last cycle. */
export const CACHE_RANGES = { "1h": 1, "24h": 24, "7d": 168, "30d": 720 } as const;
/** One of {@link CACHE_RANGES}. */
export type CacheRange = keyof typeof CACHE_RANGES;

/** Keys of the water network in Redis. Every value is JSON with `cached_at`. */
export const WATER_KEYS = {
  latest: (node: string) => `node:${node}:latest`,
  metrics: (node: string, range: CacheRange) => `node:${node}:metrics:${range}`,
  system: (range: CacheRange) => `system:metrics:${range}`,
  anomalies: "anomalies:recent",
} as const;

const HOUR_MS = 3_600_000;
/** Longer than any cycle: who reads a copy sees its age. */
const TTL_MS = 25 * HOUR_MS;
const RECENT = 100;
const WRITES = 64;

/** Writes every key of {@link WATER_KEYS} anew; how many those were. */
export async function refreshWaterCache(db: Db, cache: CacheWriter, nowMs: number): Promise<number> {
  const startedMs = Date.now();
  const cachedAt = new Date(nowMs).toISOString();
  const entries: { key: string; value: object }[] = [];
  for (const node of await listNodeStatus(db))
    entries.push({ key: WATER_KEYS.latest(node.node_id), value: node });
  for (const [name, hours] of Object.entries(CACHE_RANGES)) {
    const range = name as CacheRange;
    // a window is in a range if it begins in it: the hour that is not over has none yet
    const span = { fromMs: nowMs - (hours + 1) * HOUR_MS, toMs: nowMs };
    for (const figures of await summariseNodes(db, span))
      entries.push({ key: WATER_KEYS.metrics(String(figures.node_id), range), value: { ...figures, range } });
    entries.push({ key: WATER_KEYS.system(range), value: { ...(await summariseNetwork(db, span)), range } });
  }
  const anomalies = await listWaterAnomalies(db, { fromMs: nowMs - 24 * HOUR_MS, toMs: nowMs }, RECENT);
  entries.push({ key: WATER_KEYS.anomalies, value: { anomalies } });
  await mapBounded(entries, WRITES, ({ key, value }) =>
    cache.remember(key, JSON.stringify({ ...value, cached_at: cachedAt }), TTL_MS),
  );
  await logCacheSync(db, entries.length, startedMs);
  return entries.length;
}
