import {
  type RedisCluster,
  type Server,
  startNats,
  startNatsCluster,
  startRedis,
  startRedisCluster,
} from "@sluice/servers";
import { type FaultProxy, startProxy, waitFor } from "@sluice/testkit";
import { Redis } from "ioredis";
import { connect } from "nats";
import { openBus } from "../src/index.ts";

/** What a driver runs on: one server, or a cluster that is killed and restarted where it hurts. */
export type Installed = Pick<Server, "url" | "kill" | "restart" | "stop">;

/** The same bus by a url of its own, over connections that can be disturbed. */
export interface Distance extends Pick<FaultProxy, "refuse" | "cutAll" | "dropReplies" | "close"> {
  url: string;
}

/** What the suite needs of a server beside the bus itself: to do to it what must not harm us. */
export interface Driver<S extends Installed = Installed> {
  name: string;
  /** Whether consumers have names that operators see. */
  namesConsumers: boolean;
  start(): Promise<S>;
  distance(server: S): Promise<Distance>;
  deleteStream(server: S, stream: string): Promise<void>;
  /** Throws away all but the newest entry, whoever still needs them. */
  dropOld(server: S, stream: string): Promise<void>;
  /** Leaves room for about `bytes` more; null lifts the limit. */
  limit(server: S, stream: string, bytes: number | null): Promise<void>;
}

/** Binds what a driver does to what it runs on, so that the suite need not know it. */
const driver = <S extends Installed>(one: Driver<S>): Driver => one as unknown as Driver;

type Has = (stream: string) => Promise<string>;

/** What is done to streams of a Redis; `urlOf` names the one that has the stream. */
const redisFaults = <S extends Installed>(urlOf: (server: S) => Has) => ({
  namesConsumers: true,
  async deleteStream(server: S, stream: string) {
    await withRedis(await urlOf(server)(stream), (r) => r.del(stream));
  },
  async dropOld(server: S, stream: string) {
    await withRedis(await urlOf(server)(stream), (r) => r.call("XTRIM", stream, "MAXLEN", 1));
  },
  async limit(server: S, stream: string, bytes: number | null) {
    await withRedis(await urlOf(server)(stream), async (r) => {
      const used = Number(/used_memory:(\d+)/.exec(await r.info("memory"))?.[1]);
      // Beside the stream there is what replicas have not had yet.
      const replicas = Number(/connected_slaves:(\d+)/.exec(await r.info("replication"))?.[1]);
      await r.config("SET", "maxmemory", bytes === null ? "1gb" : used + bytes * (1 + 3 * replicas));
    });
  },
});

async function withRedis<T>(url: string, act: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url);
  try {
    return await act(redis);
  } finally {
    redis.disconnect();
  }
}

const redis = driver<Server>({
  ...redisFaults((server) => async () => server.url),
  name: "redis",
  start: () => startRedis({ appendfsync: "always" }),
  distance: (server) => disturb(server.port, (port) => `redis://127.0.0.1:${port}`),
});

async function disturb(target: number, urlAt: (port: number) => string): Promise<Distance> {
  const proxy = await startProxy(target);
  return Object.assign(proxy, { url: urlAt(proxy.port) });
}

const redisCluster = driver<Installed & { cluster: RedisCluster }>({
  ...redisFaults(
    ({ cluster }) =>
      async (stream) =>
        (await cluster.primaryOf(stream)).url,
  ),
  name: "a Redis Cluster",
  async start() {
    const cluster = await startRedisCluster();
    // The suite's streams have one hash tag.
    let primary = await cluster.primaryOf("{0}");
    return {
      cluster,
      url: `${cluster.url}&replicas=1`,
      async kill(signal) {
        primary = await cluster.primaryOf("{0}");
        await primary.kill(signal);
      },
      restart: () => primary.restart(),
      stop: cluster.stop,
    };
  },
  /** A proxy before each member; the cluster's own word of who has what names the proxies. */
  async distance({ cluster }) {
    const proxies: FaultProxy[] = [];
    const rewrite = (reply: Buffer): Buffer => {
      let text = reply.toString("latin1");
      for (const [i, { port }] of cluster.members.entries())
        text = text.replaceAll(`:${port}\r\n`, `:${proxies[i]?.port}\r\n`);
      return Buffer.from(text, "latin1");
    };
    for (const { port } of cluster.members) proxies.push(await startProxy(port, { rewrite }));
    const [first, ...rest] = proxies.map(({ port }) => `127.0.0.1:${port}`);
    return {
      url: `redis-cluster://${first}?nodes=${rest.join(",")}&replicas=1`,
      refuse: (refuse) => proxies.forEach((proxy) => void proxy.refuse(refuse)),
      cutAll: () => proxies.forEach((proxy) => void proxy.cutAll()),
      dropReplies: (drop) => proxies.forEach((proxy) => void proxy.dropReplies(drop)),
      close: async () => void (await Promise.all(proxies.map((proxy) => proxy.close()))),
    };
  },
});

/** Name of the JetStream stream that the driver keeps a bus stream in. */
export const natsName = (stream: string) => stream.replace(/[^A-Za-z0-9]+/g, "_").replace(/_+$/, "");

const natsFaults = {
  namesConsumers: false,
  async deleteStream({ url }: Installed, stream: string) {
    const nc = await connect({ servers: new URL(url).host });
    await (await nc.jetstreamManager()).streams.delete(natsName(stream));
    await nc.close();
  },
  async dropOld({ url }: Installed, stream: string) {
    const nc = await connect({ servers: new URL(url).host });
    await (await nc.jetstreamManager()).streams.purge(natsName(stream), { keep: 1 });
    await nc.close();
  },
  async limit({ url }: Installed, stream: string, bytes: number | null) {
    const nc = await connect({ servers: new URL(url).host });
    const jsm = await nc.jetstreamManager();
    const { config, state } = await jsm.streams.info(natsName(stream));
    await jsm.streams.update(natsName(stream), {
      ...config,
      max_bytes: bytes === null ? -1 : state.bytes + bytes,
    });
    await nc.close();
  },
};

const nats = driver<Server>({
  ...natsFaults,
  name: "nats",
  start: () => startNats(),
  distance: (server) => disturb(server.port, (port) => `nats://127.0.0.1:${port}`),
});

const natsCluster = driver<Installed & { members: readonly Server[] }>({
  ...natsFaults,
  name: "three NATS servers, R3",
  async start() {
    // Whoever is far away must not learn of a nearer way.
    const members = await startNatsCluster(3, { advertise: false });
    const [first, second, third] = members.map(({ port }) => `127.0.0.1:${port}`);
    const url = `nats://${first}?replicas=3&nodes=${second},${third}`;
    // Until they have chosen a leader they answer nothing.
    await waitFor(async () => (await openBus(url)).close().then(() => true), { timeoutMs: 60_000 });
    return {
      members,
      url,
      kill: async (signal) => members[0]?.kill(signal),
      async restart() {
        await members[0]?.restart();
        await waitFor(() => isWhole(second ?? ""), {
          timeoutMs: 60_000,
          what: "the member to have caught up",
        });
      },
      stop: async () => void (await Promise.all(members.map((member) => member.stop()))),
    };
  },
  distance: ({ members }) => disturb(members[1]?.port ?? 0, (port) => `nats://127.0.0.1:${port}?replicas=3`),
});

/** Whether every stream has all its replicas, caught up. */
async function isWhole(server: string): Promise<boolean> {
  const nc = await connect({ servers: server });
  try {
    const streams = await (await nc.jetstreamManager()).streams.list().next();
    return streams.every(
      ({ cluster }) => cluster?.leader && cluster.replicas?.every(({ current }) => current),
    );
  } finally {
    await nc.close();
  }
}

/** The drivers on one server each, and on several. */
export const DRIVERS: readonly Driver[] = [redis, nats];
/** See {@link DRIVERS}. */
export const CLUSTERS: readonly Driver[] = [redisCluster, natsCluster];
