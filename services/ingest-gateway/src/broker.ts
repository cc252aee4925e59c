import type { Duplex } from "node:stream";
import { createTopics, type Resource } from "@sluice/shared-types";
import { Aedes, type Client, type PublishPacket } from "aedes";
import { createAcl } from "./acl.ts";
import { admitPacket, createAdmitClient, IDENTIFIER_REJECTED } from "./admit-client.ts";
import type { Brake } from "./brake.ts";
import type { ClaimDesk } from "./claim-desk.ts";
import { type ConfirmedPublish, createConfirmedPublish } from "./confirmed-publish.ts";
import type { Credentials } from "./credentials.ts";
import { createDeliveries, type Deliveries } from "./deliveries.ts";
import { createDeviceAccess, NOT_AUTHORISED, refusal } from "./device-access.ts";
import type { Door } from "./door.ts";
import { forgetConnect } from "./forget-connect.ts";
import type { Ingest } from "./ingest.ts";
import type { Log } from "./log.ts";
import { admitPackets } from "./packet-guard.ts";
import { createPublishing } from "./publishing.ts";
import type { Quota } from "./quota.ts";
import { createSessions, type Session } from "./session.ts";
import { createSubscriptions } from "./subscriptions.ts";
import type { ReadTopic } from "./topic-reader.ts";

/** What the broker needs around it. */
export interface BrokerDeps {
  ingest: Ingest;
  credentials: Credentials;
  brake: Brake;
  turnedAway: Door;
  claims: ClaimDesk;
  quota: Pick<Quota, "restMs">;
  readTopic(topic: string): ReadTopic;
  log: Log;
}

/** Bounds and ways of the broker. */
export interface BrokerOptions {
  root: string;
  /** Larger payloads are refused but acknowledged; see `maxPacketBytes` for those that end the connection. */
  maxPayloadBytes: number;
  /** The client id must be one of the credential's devices. */
  strictClientId: boolean;
}

/** The built-in MQTT broker: what devices publish goes to ingest and nowhere else. */
export interface Broker extends Resource {
  /** Serves one connection from `address`, opened with a client certificate for these device ids. */
  handle(conn: Duplex, address: string, certificate?: readonly string[]): void;
  /** Sends to every connected device that has subscribed to `topic`. */
  publish(topic: string, payload: string, qos: 0 | 1): void;
  /** Who listens for which device, and the way to one of them that tells whether it arrived. */
  readonly deliveries: Deliveries;
  readonly confirmed: ConfirmedPublish;
  /** Calls these when a client has connected, and when it is gone. */
  onSession(came: (clientId: string) => void, left: (clientId: string) => void): void;
  /** Ends the connection of a client that has come back elsewhere; its last will is not published. */
  cut(clientId: string): void;
  /** Open connections, and those of them that are authenticated. */
  connections(): { open: number; authenticated: number };
}

/** Longest packet for a payload limit: topic and header fit, and payloads that are politely refused. */
export const maxPacketOf = (maxPayloadBytes: number) => maxPayloadBytes + 1024 * 1024;

const CONNECT_TIMEOUT_MS = 15_000;
const MAX_UNKNOWN = 10_000;
const WAITING_PER_CONNECTION = 2000;
const TIME_EVERY_MS = 60_000;
const RECHECK_MS = 10_000;
const CONNACK_IDENTIFIER_REJECTED = Buffer.from([0x20, 2, 0, IDENTIFIER_REJECTED]);

/** MQTT errors that are the end of a connection, not a breach of the protocol. */
const ENDINGS =
  /keep alive timeout|connection closed|drain timeout|premature close|ECONN|EPIPE|ETIMEDOUT|reset|aborted/i;

/**
 * Opens the broker. A PUBLISH is acknowledged (PUBACK, PUBREC) only when it is durable in `telemetry` or
 * `rejected`; a refused one is acknowledged too, because the same bytes would be refused for ever. When it
 * cannot be made durable the connection is closed without acknowledgement. Sessions end with their connection:
 * nothing is queued or retained here, so `clean=0` finds no old session.
 */
export async function openBroker(deps: BrokerDeps, options: BrokerOptions): Promise<Broker> {
  const { log } = deps;
  const topics = createTopics(options.root);
  const acl = createAcl(options.root);
  const byClient = new WeakMap<Client, Session>();
  const byClientId = new Map<string, Session>();
  const unknown = new Set<Session>();
  const listeners = { came: (_: string) => {}, left: (_: string) => {} };
  let closing = false;
  const sessions = createSessions(
    {
      // A payload over the limit by up to a megabyte is refused politely: the device learns why.
      maxPacketBytes: maxPacketOf(options.maxPayloadBytes),
      waitingPerConnection: WAITING_PER_CONNECTION,
      mayRead: () => publishing.mayRead(),
    },
    (session, fault, bytes) =>
      turnAway(session, fault, fault === "too_large" ? "packet is over the limit" : "not MQTT", bytes),
  );

  const deliveries = createDeliveries(options.root, acl, sessions.all);
  const subscriptions = createSubscriptions(acl, deps.claims);
  let confirmed: ConfirmedPublish | undefined;

  const turnAway = (
    session: Session,
    reason: Parameters<Door>[0]["reason"],
    detail: string,
    bytes?: Buffer,
  ) =>
    deps.turnedAway({
      reason,
      detail,
      source: "mqtt",
      address: session.address,
      ...(session.username === undefined ? {} : { user: session.username }),
      ...(session.clientId === undefined ? {} : { clientId: session.clientId }),
      ...(bytes === undefined ? {} : { bytes }),
    });

  const access = createDeviceAccess({
    ...deps,
    topics,
    turnAway,
    admitted: (session) => {
      admitPackets(session.guard);
      unknown.delete(session);
    },
  });

  const admit = createAdmitClient({
    ...{ access, byClientId, turnAway, credentials: deps.credentials, readTopic: deps.readTopic },
    ...{ strictClientId: options.strictClientId, maxPayloadBytes: options.maxPayloadBytes },
    came: (clientId) => listeners.came(clientId),
  });
  const publishing = createPublishing({ ...deps, topics, deliveries, feed: sessions.feed });
  const aedes = new Aedes({
    connectTimeout: CONNECT_TIMEOUT_MS,
    maxClientsIdLength: 128,
    maxInflightInbound: 100,
    queueLimit: WAITING_PER_CONNECTION,
    drainTimeout: 30_000,
    preConnect: (client, packet, done) => {
      const session = byClient.get(client);
      if (!session) return done(new Error("no session"), false);
      if (admitPacket(session, packet)) return done(null, true);
      turnAway(
        session,
        "bad_client_id",
        "the client id is empty without clean session, or has other characters than letters, digits, '_', '.', ':' or '-'",
      );
      session.conn.write(CONNACK_IDENTIFIER_REJECTED);
      session.conn.end();
      done(null, false);
    },
    authenticate: (client, username, password, done) => {
      const session = byClient.get(client);
      if (!session) return done(refusal("no session", NOT_AUTHORISED), null);
      void admit(session, client, username ?? "", password?.toString("utf8") ?? "", done);
    },
    authorizePublish: (client, packet, done) => {
      const session = client && byClient.get(client);
      if (!client || !session) return done(client ? new Error("no session") : null);
      packet.retain = false;
      if (session.claim !== undefined) return access.register(session, client, session.claim, packet, done);
      // The device is not gone: another connection of it took over, or the gateway stops.
      if (session.superseded && packet === session.will) return done(null);
      publishing.accept(packet, client, session, done);
    },
    authorizeSubscribe: (client, subscription, done) => {
      const session = byClient.get(client);
      if (!session) return done(null, null);
      const { topic, qos } = subscription;
      if (subscriptions.grant(session, topic, qos)) return done(null, subscription);
      turnAway(session, "not_authorised", `may not subscribe to '${topic.slice(0, 100)}'`);
      done(null, null);
    },
    authorizeForward: (client, packet) => {
      confirmed?.forward(packet);
      return subscriptions.mayReceive(byClient.get(client), packet.topic) ? packet : null;
    },
  });
  // What devices publish is ingest's: it is not routed to other clients, retained or queued.
  const route = aedes.publish.bind(aedes);
  aedes.publish = ((packet: PublishPacket, client: Client | (() => void), done?: () => void) => {
    if (client && typeof client !== "function") done?.();
    else route(packet as never, client as never);
  }) as typeof aedes.publish;

  const watch = (session: Session, client: Client) => {
    client.on("error", toldByBroker);
    session.conn.once("close", () => {
      unknown.delete(session);
      if (session.clientId !== undefined && byClientId.get(session.clientId) === session) {
        byClientId.delete(session.clientId);
        listeners.left(session.clientId);
      }
      deliveries.forget(session);
    });
  };
  aedes.on("clientReady", forgetConnect);
  aedes.on("subscribe", (asked, client) => {
    const session = byClient.get(client);
    if (!session || session.conn.destroyed) return;
    deliveries.listen(
      session,
      asked.map(({ topic }) => topic).filter((topic) => session.filters.has(topic)),
    );
  });
  aedes.on("unsubscribe", (filters, client) => {
    const session = byClient.get(client);
    if (session) subscriptions.drop(session, filters);
  });
  const onError = (client: Client, error: Error) => {
    const session = byClient.get(client);
    if (!session || closing || session.faulty || ENDINGS.test(error.message)) return;
    // Refused with a CONNACK, which was told then; or an outage of ours.
    if ("errorCode" in error || "dependency" in error) return;
    session.faulty = true;
    if (/connect did not arrive/.test(error.message)) turnAway(session, "connect_timeout", error.message);
    else turnAway(session, "protocol_error", error.message.slice(0, 200));
  };
  aedes.on("clientError", onError);
  aedes.on("connectionError", onError);

  const recheck = () => {
    for (const session of sessions.all) {
      if (!session.credential || session.username === undefined || session.hash === undefined) continue;
      const renewed = access.renew(session, session.username, session.hash);
      if (renewed) {
        session.credential = renewed;
        continue;
      }
      log.info({ user: session.username, clientId: session.clientId }, "credential withdrawn: session cut");
      session.superseded = true;
      session.conn.destroy();
    }
  };
  deps.credentials.onChange(recheck);

  await aedes.listen();
  confirmed = createConfirmedPublish(aedes);
  const clock = setInterval(deliveries.tellTime, TIME_EVERY_MS);
  // The end of an overlap is no change.
  const rechecking = setInterval(recheck, RECHECK_MS);
  const feeding = setInterval(sessions.feed, 100);

  return {
    handle(conn, address, certificate) {
      if (closing) return void conn.destroy();
      const session = sessions.open(conn, address);
      if (certificate) session.certificate = certificate;
      unknown.add(session);
      if (unknown.size > MAX_UNKNOWN) {
        const [oldest] = unknown;
        if (oldest) {
          unknown.delete(oldest);
          turnAway(oldest, "too_many_connections", "too many connections that have not said who they are");
          oldest.conn.destroy();
        }
      }
      const client = aedes.handle(conn);
      byClient.set(client, session);
      session.client = client;
      watch(session, client);
    },
    publish: deliveries.send,
    deliveries,
    confirmed,
    onSession: (came, left) => void Object.assign(listeners, { came, left }),
    cut: (clientId) => {
      const session = byClientId.get(clientId);
      if (!session) return;
      session.superseded = true;
      session.conn.destroy();
    },
    connections: () => ({ open: sessions.all.size, authenticated: byClientId.size }),
    ping: async () => {},
    close: async () => {
      if (closing) return;
      closing = true;
      clearInterval(clock);
      clearInterval(feeding);
      clearInterval(rechecking);
      for (const session of sessions.all) session.superseded = true;
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
      for (const session of sessions.all) session.conn.destroy();
    },
  };
}

/** What a client's own event would say comes as one of the broker's. */
function toldByBroker(): void {}
