import { createTopics } from "@sluice/shared-types";
import type { Client } from "aedes";
import { type Acl, matches } from "./acl.ts";
import { timeMessage } from "./answers.ts";
import type { Session } from "./session.ts";

/** A connection that a device's messages can be sent on. */
export interface Listener {
  client: Client;
  /** What it was granted. */
  qos: 0 | 1;
}

/** What the gateway sends to connected devices. */
export interface Deliveries {
  /** Notes what a session has subscribed to, and tells the time to one that asked for it. */
  listen(session: Session, filters: readonly string[]): void;
  /** The session is gone. */
  forget(session: Session): void;
  /** Whether anybody listens for this device. */
  hasListener(device: string): boolean;
  /** The latest connection that speaks for `device`, has subscribed to `topic` and reads what it is sent. */
  findListener(device: string, topic: string): Listener | undefined;
  /** Calls `listener` with the devices that a session begins to listen for. */
  onListen(listener: (devices: readonly string[]) => void): void;
  /** Sends to every session that subscribed to `topic` and may have it, at its granted QoS at most. */
  send(topic: string, payload: string, atMostQos: 0 | 1): void;
  /** Sends the time of day to all who subscribed to it. */
  tellTime(): void;
}

/** Beyond this an answer to a device that does not read is dropped: it is told by PUBACK anyway. */
const MAX_UNREAD_BYTES = 256 * 1024;

/** Opens the way out to `sessions`. Sends directly to the few that listen: no routing among clients. */
export function createDeliveries(root: string, acl: Acl, sessions: ReadonlySet<Session>): Deliveries {
  const byDevice = new Map<string, Set<Session>>();
  const listening = new Map<Session, Set<string>>();
  const time = createTopics(root).system("time");
  const devices = `${root}/devices/`;
  const fleet = `${root}/fleet/`;
  let onListen = (_devices: readonly string[]) => {};
  const send = (topic: string, payload: string, atMostQos: 0 | 1) => {
    const device = topic.startsWith(devices) ? topic.slice(devices.length).split("/")[0] : undefined;
    const to = device === undefined ? sessions : (byDevice.get(device) ?? []);
    for (const session of to) deliver(session, topic, payload, atMostQos, acl);
  };
  /** Whose messages come on a filter. */
  const devicesOf = ({ credential }: Session, filter: string): readonly string[] => {
    if (!credential) return [];
    if (filter.startsWith(fleet)) return credential.devices;
    const device = filter.startsWith(devices) ? filter.slice(devices.length).split("/")[0] : undefined;
    return device !== undefined && credential.owns(device) ? [device] : [];
  };
  return {
    send,
    listen(session, filters) {
      for (const filter of filters)
        if (matches(filter, time)) deliver(session, time, timeMessage(Date.now()), 0, acl);
      const added = [...new Set(filters.flatMap((filter) => devicesOf(session, filter)))];
      for (const device of added) {
        const others = byDevice.get(device) ?? new Set();
        // Sets keep their order: the latest comes last.
        others.delete(session);
        byDevice.set(device, others.add(session));
        listening.set(session, (listening.get(session) ?? new Set()).add(device));
      }
      if (added.length > 0) onListen(added);
    },
    forget(session) {
      for (const device of listening.get(session) ?? []) {
        const set = byDevice.get(device);
        if (set?.delete(session) && set.size === 0) byDevice.delete(device);
      }
      listening.delete(session);
    },
    hasListener: (device) => byDevice.has(device),
    findListener(device, topic) {
      for (const session of [...(byDevice.get(device) ?? [])].reverse()) {
        const qos = grantOf(session, topic, acl);
        if (qos !== undefined && session.client) return { client: session.client, qos: qos === 0 ? 0 : 1 };
      }
      return undefined;
    },
    onListen: (listener) => {
      onListen = listener;
    },
    tellTime: () => send(time, timeMessage(Date.now()), 0),
  };
}

/** The QoS at which a session may be sent `topic`; undefined where it did not ask, may not, or does not read. */
function grantOf(
  { client, credential, conn, filters }: Session,
  topic: string,
  acl: Acl,
): number | undefined {
  if (!client?.connected || !credential || conn.writableLength > MAX_UNREAD_BYTES) return undefined;
  let granted: number | undefined;
  for (const [filter, qos] of filters) {
    if (matches(filter, topic)) granted = Math.max(granted ?? 0, qos);
  }
  return granted !== undefined && acl.mayReceive(topic, credential.devices) ? granted : undefined;
}

function deliver(session: Session, topic: string, payload: string, atMostQos: 0 | 1, acl: Acl): void {
  const granted = grantOf(session, topic, acl);
  if (granted === undefined) return;
  const qos = Math.min(granted, atMostQos) as 0 | 1;
  session.client?.publish(
    { cmd: "publish", topic, payload: Buffer.from(payload), qos, retain: false, dup: false },
    () => {},
  );
}
