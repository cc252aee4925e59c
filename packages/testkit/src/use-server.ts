import { afterAll, beforeAll } from "@jest/globals";
import {
  type InfluxOptions,
  type InfluxServer,
  type MosquittoOptions,
  type NatsOptions,
  type RedisOptions,
  type Server,
  type ServerOptions,
  startInflux,
  startMosquitto,
  startNats,
  startNatsCluster,
  startRedis,
  startVictoriaMetrics,
} from "@sluice/servers";

const START_TIMEOUT_MS = 60_000;

/**
 * Starts a server before the tests of the present file or `describe` and stops it after them. What it
 * returns can be used inside tests and later hooks only.
 */
export function useServer<S extends object>(start: () => Promise<S & { stop(): Promise<void> }>): S {
  let running: (S & { stop(): Promise<void> }) | undefined;
  beforeAll(async () => {
    running = await start();
  }, START_TIMEOUT_MS);
  afterAll(async () => {
    await running?.stop();
  }, START_TIMEOUT_MS);
  return lazily(() => running);
}

/** Stands for an object that is there only once a hook has run. */
export function lazily<T extends object>(current: () => T | undefined): T {
  const target = () => {
    const value = current();
    if (value === undefined) throw new Error("the server is not started yet: use it inside tests and hooks");
    return value;
  };
  return new Proxy({} as T, {
    get: (_, key) => Reflect.get(target(), key),
    has: (_, key) => Reflect.has(target(), key),
  });
}

/** A private Redis for this test file; appends are not synced to disk unless asked. */
export function useRedis(options: RedisOptions = {}): Server {
  return useServer(() => startRedis({ appendfsync: "no", ...options }));
}

/** A private InfluxDB 1.x for this test file. */
export function useInflux(options: InfluxOptions = {}): InfluxServer {
  return useServer(() => startInflux(options));
}

/** A private NATS server with JetStream for this test file. */
export function useNats(options: NatsOptions = {}): Server {
  return useServer(() => startNats(options));
}

/** A private JetStream cluster for this test file. */
export function useNatsCluster(size = 3): { readonly members: readonly Server[] } {
  return useServer(async () => {
    const members = await startNatsCluster(size);
    return { members, stop: async () => void (await Promise.all(members.map((member) => member.stop()))) };
  });
}

/** A private Mosquitto for this test file; anonymous unless `config` says otherwise. */
export function useMosquitto(options: MosquittoOptions = {}): Server {
  return useServer(() => startMosquitto(options));
}

/** A private VictoriaMetrics for this test file. */
export function useVictoriaMetrics(options: ServerOptions = {}): Server {
  return useServer(() => startVictoriaMetrics(options));
}
