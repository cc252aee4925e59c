import { setTimeout as delay } from "node:timers/promises";
import type { Resource } from "@sluice/shared-types";
import pg from "pg";
import type { Db } from "./open-db.ts";
import { classify } from "./pg-errors.ts";

const RETRY_MS = 500;
/** A server that takes a connection and does not answer on it is tried anew. */
const ANSWER_MS = 10_000;

/**
 * Calls `onNotify` with the payload of every notification on `channel`, on a connection of its own, and with
 * `undefined` after each reconnect, when some may have been missed. Resolves once it listens; later outages are
 * ridden out. `ping` rejects while it does not listen. The caller closes it.
 * @throws OutageError where the first connection fails
 */
export async function listen(
  db: Db,
  channel: string,
  onNotify: (payload: string | undefined) => void,
): Promise<Resource> {
  let client: pg.Client | undefined;
  const stop = new AbortController();

  const open = async () => {
    const next = new pg.Client({
      connectionString: db.url,
      keepAlive: true,
      connectionTimeoutMillis: ANSWER_MS,
      query_timeout: ANSWER_MS,
      application_name: "sluice-listen",
    });
    next.on("error", () => {}); // followed by `end`
    next.on("notification", (message) => onNotify(message.payload));
    try {
      await next.connect();
      await next.query(`LISTEN ${next.escapeIdentifier(channel)}`);
    } catch (error) {
      await next.end().catch(() => {});
      throw classify(error);
    }
    client = next;
    next.once("end", () => {
      client = undefined;
      if (!stop.signal.aborted) void reopen();
    });
  };

  const reopen = async () => {
    while (!stop.signal.aborted) {
      try {
        await delay(RETRY_MS, undefined, { signal: stop.signal });
        await open();
        onNotify(undefined);
        return;
      } catch {
        // still out: ping says so
      }
    }
  };

  await open();
  return {
    ping: async () => {
      if (!client) throw new Error(`not listening on ${channel}: postgres is out of reach`);
      await client.query("SELECT 1");
    },
    close: async () => {
      stop.abort();
      await client?.end();
    },
  };
}
