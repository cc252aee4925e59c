import type { ConnectionObserver } from "@sluice/testkit/start-proxy";
import { createPacketReader, MQTT, type MqttPacket, readPublish, versionOf } from "./mqtt-packets.ts";
import { createMessageReader } from "./postgres-messages.ts";
import { createCommandReader, createReplyReader } from "./redis-commands.ts";

/**
 * Listens on the three wires of a rig and holds against each other what it hears (oracle O5): no acknowledgement of a
 * message before Redis has answered its append, no XACK of an entry before PostgreSQL has answered its COMMIT.
 */
export interface Tap {
  mqtt(): ConnectionObserver;
  redis(): ConnectionObserver;
  postgres(): ConnectionObserver;
  /** Acknowledgements that came too early, since the last call. */
  takeEarly(): string[];
  /** How many acknowledgements were looked at since the last call. */
  takeSeen(): { acknowledged: number; entries: number };
  /** Appends of telemetry that were asked for, ever. */
  appends(): number;
  /** Called when the COMMIT of a batch is on its way to the server, and when its answer is on its way back. */
  onCommit: { asked?: (() => void) | undefined; answered?: (() => void) | undefined };
  /** Called when a client or the server ends an MQTT connection. */
  onMqttEnd?: (() => void) | undefined;
  /** MQTT bytes that came in plain text. */
  plainConnects(): number;
}

const TELEMETRY = "sluice:telemetry:{0}";
const ENTRY_ID = /^\d{13}-\d+$/;
const ENTRY_IDS = /\d{13}-\d{4,}/g;

/** Opens the ears; each wire's proxy asks for an observer per connection. */
export function createTap(): Tap {
  const appended = new Set<string>();
  const committed = new Set<string>();
  const early: string[] = [];
  let seen = { acknowledged: 0, entries: 0 };
  let appends = 0;
  let plain = 0;

  const acknowledged = (identity: string | undefined) => {
    if (identity === undefined) return;
    seen.acknowledged++;
    if (!appended.has(identity)) early.push(`acknowledged before its append: ${identity}`);
  };
  const settled = (ids: readonly string[]) => {
    seen.entries += ids.length;
    for (const id of ids) if (!committed.has(id)) early.push(`XACK before COMMIT: ${id}`);
  };

  const tap: Tap = {
    onCommit: {},
    takeEarly: () => early.splice(0),
    takeSeen() {
      const before = seen;
      seen = { acknowledged: 0, entries: 0 };
      return before;
    },
    appends: () => appends,
    plainConnects: () => plain,
    mqtt: () =>
      observeMqtt(
        acknowledged,
        () => tap.onMqttEnd?.(),
        () => plain++,
      ),
    redis: () =>
      observeRedis({
        asked: () => appends++,
        appended: (identities) => {
          for (const identity of identities) appended.add(identity);
        },
        settled,
      }),
    postgres: () =>
      observePostgres(tap.onCommit, (ids) => {
        for (const id of ids) committed.add(id);
      }),
  };
  return tap;
}

function observeMqtt(
  acknowledged: (identity: string | undefined) => void,
  ended: () => void,
  connect: () => void,
): ConnectionObserver {
  let version = 4;
  const [forward, back] = [new Map<number, string>(), new Map<number, string>()];
  const hear = (published: Map<number, string>, answered: Map<number, string>) => (packet: MqttPacket) => {
    if (packet.type === MQTT.connect) {
      connect();
      version = versionOf(packet);
    } else if (packet.type === MQTT.publish) {
      const { topic, packetId, payload } = readPublish(packet, version);
      const device = /\/devices\/([^/]+)\//.exec(topic)?.[1];
      const identity = device === undefined ? undefined : identify(device, payload);
      if (topic.endsWith("/ack") && payload.includes('"accepted"')) acknowledged(identity);
      else if (topic.includes("/telemetry") && identity) published.set(packetId, identity);
    } else if (packet.type === MQTT.puback) {
      acknowledged(answered.get(packet.body.readUInt16BE(0)));
    } else if (packet.type === MQTT.disconnect) ended();
  };
  return {
    request: createPacketReader(hear(forward, back)),
    reply: createPacketReader(hear(back, forward)),
    closed: ended,
  };
}

/** `device boot seq` of a payload that has all of it. */
function identify(device: string, payload: string): string | undefined {
  const boot = /"boot":"([^"]*)"/.exec(payload)?.[1];
  const seq = /"seq":(\d+)/.exec(payload)?.[1];
  return boot === undefined || seq === undefined ? undefined : `${device} ${boot} ${seq}`;
}

interface RedisEvents {
  asked(): void;
  appended(identities: readonly string[]): void;
  settled(ids: readonly string[]): void;
}

function observeRedis(events: RedisEvents): ConnectionObserver {
  const waiting: (readonly string[])[] = [];
  return {
    request: createCommandReader((words) => {
      const [command = "", , keys = "0", stream, , ...rest] = words;
      const script = /^eval(sha)?$/i.test(command) && stream === TELEMETRY;
      if (script && keys === "2" && rest[0] === "postgres" && ENTRY_ID.test(rest[1] ?? ""))
        events.settled(rest.slice(1).filter((word) => ENTRY_ID.test(word)));
      const identities = script && keys === "3" ? rest.flatMap(identifyMessage) : [];
      if (identities.length > 0) events.asked();
      waiting.push(identities);
    }),
    reply: createReplyReader((error) => {
      const identities = waiting.shift();
      if (identities && !error) events.appended(identities);
    }),
  };
}

/** Of a message as it is on the bus. */
function identifyMessage(word: string): string[] {
  const device = /^\{"d":"([^"]*)"/.exec(word)?.[1];
  const identity = device === undefined ? undefined : identify(device, word.slice(word.indexOf('"p":')));
  return identity === undefined ? [] : [identity];
}

function observePostgres(
  hooks: Tap["onCommit"],
  committed: (ids: readonly string[]) => void,
): ConnectionObserver {
  let written: string[] = [];
  let committing = false;
  const idsIn = (body: Buffer) => body.toString("latin1").match(ENTRY_IDS) ?? [];
  return {
    request: createMessageReader((type, body) => {
      const text = type === "Q" ? body.toString("latin1") : "";
      if (text.startsWith("BEGIN")) written = [];
      if (type === "B" || type === "Q") written.push(...idsIn(body));
      committing = text.startsWith("COMMIT") && written.length > 0;
      if (committing) hooks.asked?.();
    }, true),
    reply: createMessageReader((type, body) => {
      // A receipt that is found was committed earlier.
      if (type === "D") committed(idsIn(body));
      if (type !== "C" || !body.toString("latin1").startsWith("COMMIT")) return;
      committed(written.splice(0));
      if (committing) hooks.answered?.();
      committing = false;
    }, false),
  };
}
