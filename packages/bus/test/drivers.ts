import { type Server, startNats, startRedis } from "@sluice/servers";
import { Redis } from "ioredis";
import { connect } from "nats";

/** What the suite needs of a server beside the bus itself: to do to it what must not harm us. */
export interface Driver {
  name: "redis" | "nats";
  start(): Promise<Server>;
  /** The same server through another port. */
  urlAt(server: Server, port: number): string;
  deleteStream(url: string, stream: string): Promise<void>;
  /** Throws away all but the newest entry, whoever still needs them. */
  dropOld(url: string, stream: string): Promise<void>;
  /** Leaves room for about `bytes` more; null lifts the limit. */
  limit(url: string, stream: string, bytes: number | null): Promise<void>;
}

async function withRedis<T>(url: string, act: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url);
  try {
    return await act(redis);
  } finally {
    redis.disconnect();
  }
}

const redis: Driver = {
  name: "redis",
  start: () => startRedis({ appendfsync: "always" }),
  urlAt: (_, port) => `redis://127.0.0.1:${port}`,
  async deleteStream(url, stream) {
    await withRedis(url, (r) => r.del(stream));
  },
  async dropOld(url, stream) {
    await withRedis(url, (r) => r.call("XTRIM", stream, "MAXLEN", 1));
  },
  async limit(url, _, bytes) {
    await withRedis(url, async (r) => {
      const used = Number(/used_memory:(\d+)/.exec(await r.info("memory"))?.[1]);
      await r.config("SET", "maxmemory", bytes === null ? "1gb" : used + bytes);
    });
  },
};

/** Name of the JetStream stream that the driver keeps a bus stream in. */
export const natsName = (stream: string) => stream.replace(/[^A-Za-z0-9]+/g, "_").replace(/_+$/, "");

const nats: Driver = {
  name: "nats",
  start: () => startNats(),
  urlAt: (_, port) => `nats://127.0.0.1:${port}`,
  async deleteStream(url, stream) {
    const nc = await connect({ servers: url });
    await (await nc.jetstreamManager()).streams.delete(natsName(stream));
    await nc.close();
  },
  async dropOld(url, stream) {
    const nc = await connect({ servers: url });
    await (await nc.jetstreamManager()).streams.purge(natsName(stream), { keep: 1 });
    await nc.close();
  },
  async limit(url, stream, bytes) {
    const nc = await connect({ servers: url });
    const jsm = await nc.jetstreamManager();
    const { config, state } = await jsm.streams.info(natsName(stream));
    await jsm.streams.update(natsName(stream), {
      ...config,
      max_bytes: bytes === null ? -1 : state.bytes + bytes,
    });
    await nc.close();
  },
};

/** Every driver the suite runs on. */
export const DRIVERS: readonly Driver[] = [redis, nats];
