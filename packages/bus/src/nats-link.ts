import { hostname } from "node:os";
import { connect, ErrorCode, Events, type NatsConnection, NatsError } from "nats";
import type { Log } from "./log.ts";
import { classifyNats, LEDGER_BUCKET, type NatsLink } from "./nats-stream.ts";

const API_TIMEOUT_MS = 3_000;
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Connects, and makes the bucket of the ledgers.
 * @throws OutageError where the server cannot be reached, or has no JetStream
 */
export async function openNatsLink(url: string, log: Log): Promise<NatsLink> {
  const { searchParams, host, username, password } = new URL(url);
  try {
    const nc = await connect({
      servers: host,
      ...(username ? { user: decodeURIComponent(username), pass: decodeURIComponent(password) } : {}),
      name: `sluice-${hostname()}-${process.pid}`,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      timeout: CONNECT_TIMEOUT_MS,
      pingInterval: 5_000,
    });
    const line = watchLine(nc, log);
    const jsm = await nc.jetstreamManager({ timeout: API_TIMEOUT_MS });
    const js = nc.jetstream({ timeout: API_TIMEOUT_MS });
    const replicas = Number(searchParams.get("replicas") ?? 1);
    if (replicas < 3) {
      const text =
        "JetStream syncs to disk every two minutes by default: run three servers with replicas=3 and sync_interval always";
      log.warn({ replicas }, text);
    }
    const kv = await js.views.kv(LEDGER_BUCKET, { replicas, history: 1 });
    const maxBytes = Number(searchParams.get("maxBytes") ?? -1);
    return { nc, js, jsm, kv, replicas, maxBytes, ...line, known: new Map(), asked: new Map(), log };
  } catch (error) {
    throw classifyNats(error);
  }
}

/** The client itself leaves a request that was cut to its time-out; here its wait ends with the connection. */
function watchLine(nc: NatsConnection, log: Log): Pick<NatsLink, "connected" | "epoch" | "ask"> {
  const waiting = new Set<(error: NatsError) => void>();
  let live = true;
  let epoch = 0;
  const cut = () => new NatsError("the connection was cut", ErrorCode.Disconnect);
  void (async () => {
    for await (const status of nc.status()) {
      log.debug({ status: status.type }, "nats connection");
      if (status.type === Events.Reconnect) live = true;
      if (status.type !== Events.Disconnect) continue;
      live = false;
      epoch++;
      for (const reject of waiting) reject(cut());
      waiting.clear();
    }
  })();
  const connected = () => live && !nc.isClosed();
  return {
    connected,
    epoch: () => epoch,
    ask: (request) =>
      new Promise((resolve, reject) => {
        if (!connected()) return reject(cut());
        waiting.add(reject);
        request()
          .then(resolve, reject)
          .finally(() => waiting.delete(reject));
      }),
  };
}
