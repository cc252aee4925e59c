import { hostname } from "node:os";
import { connect, ErrorCode, Events, type NatsConnection, NatsError } from "nats";
import type { Log } from "./log.ts";
import { checkNatsDurability } from "./nats-durability.ts";
import { classifyNats, LEDGER_BUCKET, type NatsLink } from "./nats-stream.ts";

const API_TIMEOUT_MS = 3_000;
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Connects to the server of the url, or any other of its `?nodes=host:port,…`, and makes the bucket of the ledgers.
 * @throws OutageError where none can be reached, or has no JetStream; with `requireDurable`, Error where it is known not
 * to keep what it acknowledges
 */
export async function openNatsLink(url: string, log: Log, requireDurable = false): Promise<NatsLink> {
  const { searchParams, host, username, password } = new URL(url);
  try {
    const nc = await connect({
      servers: [host, ...(searchParams.get("nodes") ?? "").split(",").filter((node) => node !== "")],
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
    const monitor = searchParams.get("monitor") ?? undefined;
    await checkNatsDurability({ version: nc.info?.version ?? "", replicas, monitor }, requireDurable, log);
    // Asks the leader: a replica may answer with a ledger of a moment ago, by which what has counted is handled again.
    const kv = await js.views.kv(LEDGER_BUCKET, { replicas, history: 1, allow_direct: false });
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
