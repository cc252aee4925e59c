import { createConnection } from "node:net";
import { connect as connectTls } from "node:tls";
import { OutageError } from "@sluice/shared-types";
import { AbstractConnector, Redis, type RedisOptions } from "ioredis";

const ASK_TIMEOUT_MS = 1_000;

/** Where a Redis Cluster is: at least one of its nodes, and how to log in to all. */
export interface ClusterAddress {
  nodes: readonly { host: string; port: number }[];
  login: Pick<RedisOptions, "username" | "password" | "tls">;
  /** Copies beside the primary that an append must have reached before it counts as accepted. */
  replicas: number;
}

/** Whether the url is of a cluster: `redis-cluster://` or, over TLS, `rediss-cluster://`. */
export const isClusterUrl = (url: string) => /^rediss?-cluster:/.test(url);

/** Reads `redis-cluster://user:password@host:port?nodes=host:port,host:port&replicas=1`. */
export function parseClusterUrl(text: string): ClusterAddress {
  const url = new URL(text);
  const more = (url.searchParams.get("nodes") ?? "").split(",").filter((node) => node !== "");
  const nodes = [url.host, ...more].map((node) => {
    const { hostname, port } = new URL(`redis://${node}`);
    return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 6379) };
  });
  const login: ClusterAddress["login"] = {};
  if (url.username !== "") login.username = decodeURIComponent(url.username);
  if (url.password !== "") login.password = decodeURIComponent(url.password);
  if (url.protocol === "rediss-cluster:") login.tls = {};
  return { nodes, login, replicas: Number(url.searchParams.get("replicas") ?? 0) };
}

/** Knows which node has which key now, by asking whoever of the cluster answers. */
export interface ClusterMap {
  slotOf(key: string): Promise<number>;
  primaryOf(slot: number): Promise<{ host: string; port: number }>;
}

type Owner = [host: string, port: number];
type SlotRange = [from: number, to: number, primary: Owner, ...replicas: Owner[]];

/** See {@link ClusterMap}. Remembers every node it has heard of, so that the ones named in the url may go away. */
export function createClusterMap({ nodes, login }: ClusterAddress): ClusterMap {
  let known = [...nodes];

  /** Whoever answers is asked first the next time: a node that is down costs a time-out. */
  async function ask<T>(command: string, ...args: string[]): Promise<T> {
    let last: unknown;
    for (const node of known) {
      const redis = new Redis({
        ...node,
        ...login,
        lazyConnect: true,
        connectTimeout: ASK_TIMEOUT_MS,
        commandTimeout: ASK_TIMEOUT_MS,
        retryStrategy: () => null,
      });
      redis.on("error", () => {}); // the command says it, too
      try {
        await redis.connect();
        const answer = (await redis.call(command, ...args)) as T;
        known = [node, ...known.filter((one) => one !== node)];
        return answer;
      } catch (error) {
        last = error;
      } finally {
        redis.disconnect();
      }
    }
    throw new OutageError("redis", `no node of the cluster answers: ${String(last)}`, undefined, {
      cause: last,
    });
  }

  return {
    slotOf: async (key) => Number(await ask("CLUSTER", "KEYSLOT", key)),
    async primaryOf(slot) {
      const ranges = await ask<SlotRange[]>("CLUSTER", "SLOTS");
      for (const [, , ...owners] of ranges) {
        for (const [host, port] of owners) {
          if (host && !known.some((node) => node.host === host && node.port === port))
            known.push({ host, port });
        }
      }
      const range = ranges.find(([from, to]) => from <= slot && slot <= to);
      if (!range) throw new OutageError("redis", `nobody has slot ${slot} of the cluster`);
      const [host, port] = range[2];
      return { host, port };
    },
  };
}

/**
 * How a connection finds the node for `slot`: it asks anew every time it connects, so that after a failover it
 * comes to the new primary by itself.
 */
export function connectorTo(
  map: ClusterMap,
  slot: number,
  { login }: ClusterAddress,
): NonNullable<RedisOptions["Connector"]> {
  // The library takes a class here, and only one of this family.
  return class extends AbstractConnector {
    constructor() {
      super(2_000);
    }
    async connect() {
      this.connecting = true;
      const node = await map.primaryOf(slot);
      if (!this.connecting) throw new Error("Connection is closed.");
      this.stream = login.tls ? connectTls({ ...node, ...login.tls }) : createConnection(node);
      return this.stream;
    }
  };
}
