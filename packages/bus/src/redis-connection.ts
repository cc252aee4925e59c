import { OutageError } from "@sluice/shared-types";
import { Redis, type RedisOptions } from "ioredis";
import type { Log } from "./log.ts";

/** Longest a command may block on the server: under the time after which a silent socket counts as dead. */
export const MAX_BLOCK_MS = 5_000;
const SOCKET_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** How long opening waits for a server that is not there yet. */
const OPEN_TIMEOUT_MS = 10_000;

/** What a connection to a node of a cluster has besides. */
export type ConnectionExtras = Pick<
  RedisOptions,
  "username" | "password" | "tls" | "Connector" | "reconnectOnError"
>;

/**
 * Connects. The connection reconnects by itself; a command that was under way when it was cut rejects, and is
 * never sent again by the driver: whoever sent it knows whether that is safe.
 * @throws OutageError where the server cannot be reached within ten seconds; the server's own error where it
 * refuses the credentials
 */
export async function openConnection(
  url: string,
  name: string,
  log: Log,
  extra: ConnectionExtras = {},
): Promise<Redis> {
  const redis = new Redis(url, {
    ...extra,
    lazyConnect: true,
    protocol: 2,
    disableClientInfo: true,
    connectionName: name,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SOCKET_TIMEOUT_MS,
    retryStrategy: (times) => Math.min(1_000, 25 * 2 ** Math.min(times, 6)) * (0.5 + Math.random() / 2),
  });
  let last: Error | undefined;
  redis.on("error", (error: Error) => {
    last = error;
    log.debug({ connection: name, err: error }, "redis connection");
  });
  redis.connect().catch((error: Error) => {
    last = error;
  });
  try {
    await whenReady(redis, OPEN_TIMEOUT_MS, () => last);
  } catch (error) {
    redis.disconnect();
    throw error;
  }
  return redis;
}

/** Resolves when `redis` can take commands; rejects with OutageError after `timeoutMs`. */
export async function whenReady(
  redis: Redis,
  timeoutMs: number,
  lastError: () => Error | undefined = () => undefined,
): Promise<void> {
  if (redis.status === "ready") return;
  if (redis.status === "end") throw new OutageError("redis", "the connection to Redis is closed");
  await new Promise<void>((resolve, reject) => {
    const settle = (act: () => void) => {
      clearTimeout(timer);
      clearInterval(refused);
      redis.off("ready", ready);
      redis.off("end", ended);
      act();
    };
    const outage = (why: string) =>
      new OutageError("redis", why, undefined, lastError() ? { cause: lastError() } : undefined);
    const ready = () => settle(resolve);
    const ended = () => settle(() => reject(outage("the connection to Redis is closed")));
    const timer = setTimeout(() => {
      settle(() => reject(outage(`Redis is not reachable: ${lastError()?.message ?? "no answer"}`)));
    }, timeoutMs);
    const refused = setInterval(() => {
      const error = lastError();
      if (error && /^(WRONGPASS|NOAUTH|NOPERM|ERR)/.test(error.message)) settle(() => reject(error));
    }, 20);
    redis.on("ready", ready);
    redis.on("end", ended);
  });
}

const REFUSALS =
  /(?:^|-)(LOADING|OOM|MISCONF|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|BUSY|NOREPLICAS|MAXCLIENTS|UNKILLABLE)\b/;

/** What an error of a command means: nobody answered, the server refuses for now, the group is gone, or a bug. */
export type Failure = "cut" | "refused" | "nogroup" | "bug";

/** See {@link Failure}. After `cut` nobody knows whether the command was carried out. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return "bug";
  if (/(?:^|-)(NOGROUP|UNBLOCKED)\b/.test(error.message)) return "nogroup";
  if (error.name === "ReplyError" || error.constructor.name === "ReplyError") {
    return REFUSALS.test(error.message) ? "refused" : "bug";
  }
  if (error instanceof TypeError || error instanceof RangeError) return "bug";
  return "cut";
}

/** An OutageError for what is one; other errors as they are. */
export function classify(error: unknown): unknown {
  const failure = failureOf(error);
  if (!(error instanceof Error) || error instanceof OutageError) return error;
  if (failure !== "cut" && failure !== "refused") return error;
  return new OutageError("redis", `Redis: ${error.message}`, undefined, { cause: error });
}
