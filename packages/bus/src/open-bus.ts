import type { Bus } from "./bus.ts";
import { type Log, SILENT } from "./log.ts";
import { openRedisBus } from "./redis.ts";
import { openRedisClusterBus } from "./redis-cluster.ts";
import { isClusterUrl } from "./redis-cluster-map.ts";
import { DEFAULT_TRIM, type TrimPolicy } from "./trim-policy.ts";

/** How a bus is opened. */
export interface OpenBusOptions {
  log?: Log;
  /** Refuse a server whose settings may lose acknowledged messages; otherwise that is logged as a warning. */
  requireDurable?: boolean;
  /** What trimming leaves of what every group has acknowledged; see {@link TrimPolicy}. */
  trim?: Partial<TrimPolicy>;
}

/**
 * Opens the bus at `url`: `redis://` or `rediss://` is Redis Streams, `redis-cluster://` the same on a Redis Cluster,
 * `nats://` is NATS JetStream. Whoever opens it closes it; that closes its readers too.
 * @throws OutageError where the server cannot be reached within ten seconds
 */
export async function openBus(
  url: string,
  { log = SILENT, requireDurable = false, trim }: OpenBusOptions = {},
): Promise<Bus> {
  const { protocol } = new URL(url);
  if (protocol === "redis:" || protocol === "rediss:")
    return openRedisBus(url, { log, requireDurable, trim: { ...DEFAULT_TRIM, ...trim } });
  if (isClusterUrl(url))
    return openRedisClusterBus(url, { log, requireDurable, trim: { ...DEFAULT_TRIM, ...trim } });
  if (protocol === "nats:") {
    // Loaded only where it is used: the client costs every other process a tenth of a second at its start.
    const { openNatsBus } = await import("./nats.ts");
    return openNatsBus(url, { log, requireDurable, trim: { ...DEFAULT_TRIM, ...trim } });
  }
  throw new Error(`no bus driver for '${protocol}'`);
}
