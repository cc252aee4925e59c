import {
  type Credential,
  createTopics,
  OutageError,
  type Resource,
  type TopicMap,
} from "@sluice/shared-types";
import type { IPublishPacket } from "mqtt-packet";
import { answersOf, timeMessage } from "./answers.ts";
import { createDroppedAlarm, DROPPED_TOPICS } from "./dropped-alarm.ts";
import type { Ingest } from "./ingest.ts";
import { createInstance, holdLease, type Lease } from "./lease.ts";
import type { Link } from "./mqtt-link.ts";
import { openMqttSession, type Session, type SessionState } from "./mqtt-session.ts";
import { retireSessions } from "./retire-sessions.ts";
import { answerRival, findRival, gatewayTopic } from "./rival.ts";
import { createCounters, type Log, report, type SubscriberMetrics } from "./subscriber-report.ts";

/** What the subscriber needs from the gateway around it. */
export interface SubscriberDeps {
  /** What it accepts is acknowledged to the broker, and to the device on `/ack` or `/rejected`. */
  ingest: Pick<Ingest, "accept">;
  /** Keeps a second gateway with the same client id away; without it only takeovers are noticed. */
  lease?: Lease;
  log: Log;
  metrics?: SubscriberMetrics;
}

/** How to follow an external broker. */
export interface SubscriberOptions {
  url: string;
  clientId: string;
  /** Connections on the shared subscription; 0 empties and ends all sessions of this client id. */
  connections: number;
  /** `auto`: shared where the broker speaks MQTT 5 and offers it. */
  shared: "auto" | "true" | "false";
  /** `api_key`: anybody may publish at the broker, so telemetry must carry the device's key in its payload. */
  trust?: "broker" | "api_key";
  root: string;
  maps?: readonly TopicMap[];
  ca?: string;
  window?: number;
  windowBytes?: number;
  keepaliveMs?: number;
  /** Names this process to others that want the same client id. */
  instance?: string;
}

/** The gateway's side of an external broker. */
export interface Subscriber extends Resource {
  /** Publishes through any living connection. Rejects with OutageError when there is none. */
  publish(topic: string, payload: string | Buffer, options: { qos: 0 | 1; retain: boolean }): Promise<void>;
  /** State of each connection. */
  states(): SessionState[];
  /** Messages taken from the broker and not yet acknowledged. */
  inFlight(): number;
}

const SHARE = "$share/sluice/";
const SUBSCRIBE_REFUSED = 128;
const NO_SHARED = 158;
const TELL_TIME_MS = 10_000;

/** The filters to follow: every incoming topic of the root, then the topic maps. */
function incomingFilters(root: string, maps: readonly TopicMap[] = []): string[] {
  return [...createTopics(root).incoming, ...maps.map((map) => map.pattern.replace(/\{[^}]*\}/g, "+"))];
}

/**
 * Follows an external broker (Mosquitto, EMQX) with persistent sessions and acknowledges to it only what is
 * durable here. Returns at once; `ping` tells whether every connection is up. `close` settles what was taken,
 * acknowledges it, and leaves the sessions at the broker to collect what comes meanwhile.
 */
export function openSubscriber(deps: SubscriberDeps, options: SubscriberOptions): Subscriber {
  const { log } = deps;
  const { clientId, root, connections } = options;
  const topics = createTopics(root);
  const filters = incomingFilters(root, options.maps);
  const linkOptions = {
    url: new URL(options.url),
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    keepaliveMs: options.keepaliveMs ?? 30_000,
    connectTimeoutMs: 10_000,
  };
  const instance = options.instance ?? createInstance();
  const counters = createCounters(deps.metrics, () => inFlight());
  const droppedAlarm = createDroppedAlarm(log, counters.dropped);
  const sessions: Session[] = [];
  let shared = options.shared === "true" ? true : options.shared === "false" ? false : undefined;
  let retiring: Promise<void> | undefined;
  const stop = new AbortController();

  const accept = async (packet: IPublishPacket, link: Link, id: string): Promise<void> => {
    if (packet.topic.startsWith("$SYS/")) return droppedAlarm(packet.topic, packet.payload.toString());
    if (packet.topic === gatewayTopic(root)) {
      const answer = answerRival(packet.payload.toString(), clientId, instance);
      if (answer !== undefined) await link.publish(packet.topic, answer, { qos: 0, retain: false });
      return;
    }
    counters.received();
    if (packet.dup) counters.redelivered();
    const payload = typeof packet.payload === "string" ? Buffer.from(packet.payload) : packet.payload;
    const verdict = await deps.ingest.accept({
      topic: packet.topic,
      payload,
      qos: packet.qos,
      dup: packet.dup,
      retained: packet.retain, // subscribed without retain-as-published: set only on replays
      clientId: id,
      ...(packet.messageId === undefined ? {} : { packetId: packet.messageId }),
      source: "mqtt",
      ...(options.trust === "api_key" && needsKey(packet, root) ? { credential: NOBODY } : {}),
    });
    for (const answer of packet.retain ? [] : answersOf(verdict, topics, payload)) {
      link
        .publish(answer.topic, answer.payload, { qos: 0, retain: false })
        .catch(() => counters.unanswered());
    }
  };

  const prepare = async (link: Link, index: number): Promise<void> => {
    if (shared === undefined) {
      shared = link.version === 5 && link.connack.properties?.sharedSubscriptionAvailable !== false;
    }
    if (index === 0) {
      await link.subscribe(DROPPED_TOPICS.map((topic) => ({ topic, qos: 0, replay: true })));
      await link.subscribe([{ topic: gatewayTopic(root), qos: 0 }]);
    }
    const codes = await link.subscribe(filters.map((f) => ({ topic: shared ? SHARE + f : f, qos: 1 })));
    if (shared && options.shared === "auto" && codes.includes(NO_SHARED)) {
      shared = false;
      return prepare(link, index);
    }
    const refused = filters.filter((_, i) => (codes[i] ?? 0) >= SUBSCRIBE_REFUSED);
    if (refused.length > 0)
      throw new OutageError("mqtt", `the broker refuses to let us read ${refused.join(", ")}`);
    const weaker = filters.filter((_, i) => codes[i] === 0);
    if (weaker.length > 0)
      throw new OutageError("mqtt", `the broker grants only QoS 0 on ${weaker.join(", ")}`);
    // What another mode of ours subscribed in this session would come twice.
    await link.unsubscribe(filters.map((f) => (shared ? f : SHARE + f)));
    if (index === 0) grow();
  };

  const open = (index: number): Session => {
    const id = sessionId(clientId, index);
    const seen = { up: false };
    return openMqttSession({
      ...linkOptions,
      clientId: id,
      window: options.window ?? 4096,
      windowBytes: options.windowBytes ?? 16 * 1024 * 1024,
      prepare: (link) => prepare(link, index),
      accept: (packet, link) => accept(packet, link, id),
      findRival: () => findRival({ ...linkOptions, clientId: id }, root, clientId, instance),
      onState: (state) => report(log, id, state, seen, counters),
    });
  };

  /** Once the first connection knows whether the broker shares: opens the others, ends what is surplus. */
  const grow = () => {
    if (stop.signal.aborted) return;
    const wanted = shared ? connections : 1;
    while (sessions.length < wanted) sessions.push(open(sessions.length));
    retire(wanted);
  };
  const retire = (from: number) => {
    retiring ??= retireSessions({
      ...linkOptions,
      idOf: (index) => sessionId(clientId, index),
      from,
      filters: [...filters, ...filters.map((f) => SHARE + f)],
      accept,
      signal: stop.signal,
      log,
    });
  };

  const tellTime = () => {
    const link = sessions[0]?.link();
    const sent = link?.publish(topics.system("time"), timeMessage(Date.now()), { qos: 0, retain: false });
    sent?.catch(() => {}); // the next one comes soon
  };
  const clock = setInterval(tellTime, TELL_TIME_MS);
  const inFlight = () => sessions.reduce((sum, session) => sum + session.inFlight().messages, 0);
  const start = () => {
    if (connections === 0) retire(0);
    else if (sessions.length === 0) sessions.push(open(0));
  };
  const closeSessions = async () => {
    await Promise.all(sessions.map((session) => session.close()));
    sessions.length = 0;
  };
  const held = deps.lease
    ? holdLease(deps.lease, {
        name: `${linkOptions.url.host}/${clientId}`,
        instance,
        onHeld: start,
        onLost: closeSessions,
        log,
      })
    : undefined;
  if (!held) start();

  return {
    publish: async (topic, payload, how) => {
      for (const session of sessions) {
        const link = session.link();
        if (link) return link.publish(topic, payload, how);
      }
      throw new OutageError("mqtt", "no connection to the broker");
    },
    states: () => sessions.map((session) => session.state()),
    inFlight,
    ping: async () => {
      await held?.ping();
      for (const session of sessions) await session.ping();
    },
    close: async () => {
      stop.abort();
      clearInterval(clock);
      await closeSessions();
      await retiring;
      await held?.close();
    },
  };
}

/** Speaks for no device: what comes without a key where keys are asked for is refused, and kept. */
const NOBODY: Credential = {
  username: "anonymous",
  passwordHash: "",
  previous: [],
  devices: [],
  status: "active",
  ackStored: false,
  timeZone: "UTC",
};

/** Whether a key is missing. Last wills and `status/offline` never carry one: they only move presence. */
function needsKey({ topic, payload }: IPublishPacket, root: string): boolean {
  const levels = topic.split("/");
  if (topic.startsWith(`${root}/lwt/devices/`) || levels.slice(-2).join("/") === "status/offline")
    return false;
  try {
    const json: unknown = JSON.parse(payload.toString());
    return !(
      typeof json === "object" &&
      json !== null &&
      "api_key" in json &&
      typeof json.api_key === "string"
    );
  } catch {
    return true;
  }
}

/** Client id of connection `index`: the same at every start, because the broker keeps our messages under it. */
const sessionId = (clientId: string, index: number): string =>
  index === 0 ? clientId : `${clientId}-${index + 1}`;
