import { OutageError } from "@sluice/shared-types";
import type { IPublishPacket } from "mqtt-packet";
import { type Link, type LinkOptions, openLink } from "./mqtt-link.ts";
import { openMqttSession } from "./mqtt-session.ts";

/** Most connections a gateway ever has, hence how far to look for sessions it left behind. */
const MAX_CONNECTIONS = 32;
const QUIET_MS = 2000;

/** Which sessions to end. */
export interface RetireOptions extends Pick<LinkOptions, "url" | "ca" | "keepaliveMs" | "connectTimeoutMs"> {
  idOf(index: number): string;
  /** First index that is not in use. */
  from: number;
  /** Everything a session of ours may have subscribed. */
  filters: readonly string[];
  accept(packet: IPublishPacket, link: Link, clientId: string): Promise<void>;
  signal: AbortSignal;
  log: { info(obj: object, msg: string): void; warn(obj: object, msg: string): void };
}

/**
 * Ends the sessions an earlier run with more connections left at the broker: a shared subscription goes on
 * dealing messages to an absent member. Each is unsubscribed, emptied, and only then forgotten by the broker.
 */
export async function retireSessions(options: RetireOptions): Promise<void> {
  for (let index = options.from; index < MAX_CONNECTIONS && !options.signal.aborted; index++) {
    const clientId = options.idOf(index);
    try {
      await retire(clientId, options);
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
      options.log.warn(
        { clientId, why: error.message },
        "an unused session could not be ended; next start tries again",
      );
      return;
    }
  }
}

async function retire(clientId: string, options: RetireOptions): Promise<void> {
  const found = { present: false, settle: (_: OutageError | undefined) => {} };
  const prepared = new Promise<OutageError | undefined>((resolve) => {
    found.settle = resolve;
  });
  const session = openMqttSession({
    ...options,
    clientId,
    window: 1024,
    windowBytes: 8 * 1024 * 1024,
    prepare: async (link) => {
      found.present = link.connack.sessionPresent;
      if (found.present) await link.unsubscribe(options.filters);
    },
    accept: (packet, link) => options.accept(packet, link, clientId),
    onState: (state) => found.settle(state.is === "up" ? undefined : new OutageError("mqtt", state.why)),
  });
  try {
    const failed = await prepared;
    if (failed) throw failed;
    if (found.present) {
      options.log.info({ clientId }, "emptying a session that is not used any more");
      await emptied(session, options.signal);
    }
  } finally {
    await session.close();
  }
  if (options.signal.aborted) return;
  const last = await openLink({ ...options, clientId, version: 4, clean: true, receiveMaximum: 1 }, () => {});
  await last.end();
  if (found.present) options.log.info({ clientId }, "the session is ended: the broker keeps nothing for it");
}

/** Resolves when nothing has come for a while, all is settled, and the broker has answered a ping after that. */
async function emptied(session: ReturnType<typeof openMqttSession>, signal: AbortSignal): Promise<void> {
  const sinceMs = Date.now();
  while (!signal.aborted) {
    const link = session.link();
    if (!link) throw new OutageError("mqtt", "the connection ended while the session was being emptied");
    await link.roundTrip();
    const quietMs = Date.now() - Math.max(session.lastMessageMs(), sinceMs);
    if (quietMs >= QUIET_MS && session.inFlight().messages === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
