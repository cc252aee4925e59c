import { execFile } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { askPort } from "./ask-port.ts";
import { getBinary } from "./find-binary.ts";
import { freePort } from "./free-port.ts";
import { type RedisOptions, startRedis } from "./redis.ts";
import type { Server } from "./server.ts";

const JOIN_TIMEOUT_MS = 60_000;

/** A private Redis Cluster on loopback. */
export interface RedisCluster {
  readonly members: readonly Server[];
  /** `redis-cluster://` with all members. */
  readonly url: string;
  /** The member that is primary for the slot of `key` now. */
  primaryOf(key: string): Promise<Server>;
  stop(): Promise<void>;
}

/** Starts primaries with one replica each, and resolves when every member says that the cluster is complete. */
export async function startRedisCluster(
  options: Pick<RedisOptions, "appendfsync" | "config"> & { primaries?: number; nodeTimeoutMs?: number } = {},
): Promise<RedisCluster> {
  const { primaries = 3, nodeTimeoutMs = 2_000 } = options;
  const members: Server[] = [];
  const stop = async () => void (await Promise.all(members.map((member) => member.stop())));
  try {
    for (let i = 0; i < primaries * 2; i++) {
      const config = [
        "cluster-enabled yes",
        `cluster-node-timeout ${nodeTimeoutMs}`,
        `cluster-port ${await freePort()}`,
        "cluster-require-full-coverage no",
        options.config ?? "",
      ].join("\n");
      members.push(await startRedis({ appendfsync: options.appendfsync ?? "always", config }));
    }
    await join(members);
  } catch (error) {
    await stop();
    throw error;
  }
  const [first, ...rest] = members.map(({ port }) => `127.0.0.1:${port}`);
  return {
    members,
    url: `redis-cluster://${first}?nodes=${rest.join(",")}`,
    primaryOf: (key) => primaryOf(members, key),
    stop,
  };
}

async function join(members: readonly Server[]): Promise<void> {
  const addresses = members.map(({ port }) => `127.0.0.1:${port}`);
  const file = getBinary("redis-cli", "redis-tools");
  await promisify(execFile)(file, [
    ...["--cluster", "create", ...addresses],
    ...["--cluster-replicas", "1", "--cluster-yes"],
  ]);
  const deadline = performance.now() + JOIN_TIMEOUT_MS;
  for (const { port } of members) {
    // Until a replica has synced, a failover to it would lose everything.
    while (!(await isJoined(port))) {
      if (performance.now() > deadline) throw new Error(`the Redis on port ${port} did not join its cluster`);
      await delay(50);
    }
  }
}

async function isJoined(port: number): Promise<boolean> {
  const info = await askPort(port, "CLUSTER INFO\r\n");
  const replication = await askPort(port, "INFO replication\r\n");
  const linked = !replication.includes("role:slave") || replication.includes("master_link_status:up");
  return info.includes("cluster_state:ok") && info.includes("cluster_slots_assigned:16384") && linked;
}

async function primaryOf(members: readonly Server[], key: string): Promise<Server> {
  for (const { port } of members.filter(({ pid }) => pid !== undefined)) {
    const slot = Number((await askPort(port, `CLUSTER KEYSLOT ${key}\r\n`)).slice(1));
    const nodes = await askPort(port, "CLUSTER NODES\r\n");
    for (const line of nodes.split("\n")) {
      const [, address = "", flags = "", , , , , link, ...slots] = line.trim().split(" ");
      if (
        !flags.includes("master") ||
        flags.includes("fail") ||
        (link !== "connected" && !flags.includes("myself"))
      )
        continue;
      if (!slots.some((range) => covers(range, slot))) continue;
      const found = members.find((member) => address.startsWith(`127.0.0.1:${member.port}@`));
      if (found) return found;
    }
  }
  throw new Error(`no primary has ${key} now`);
}

function covers(range: string, slot: number): boolean {
  const [from = "", to = from] = range.split("-");
  return Number(from) <= slot && slot <= Number(to);
}
