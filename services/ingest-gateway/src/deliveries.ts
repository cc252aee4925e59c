import { createTopics } from "@sluice/shared-types";
import { type Acl, matches } from "./acl.ts";
import { timeMessage } from "./answers.ts";
import type { Session } from "./session.ts";

/** What the gateway sends to connected devices. */
export interface Deliveries {
  /** Notes what a session has subscribed to, and tells the time to one that asked for it. */
  listen(session: Session, filters: readonly string[]): void;
  /** The session is gone. */
  forget(session: Session): void;
  /** Whether anybody listens for this device. */
  hasListener(device: string): boolean;
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
  const send = (topic: string, payload: string, atMostQos: 0 | 1) => {
    const device = topic.startsWith(devices) ? topic.slice(devices.length).split("/")[0] : undefined;
    const to = device === undefined ? sessions : (byDevice.get(device) ?? []);
    for (const session of to) deliver(session, topic, payload, atMostQos, acl);
  };
  return {
    send,
    listen(session, filters) {
      for (const filter of filters) {
        if (matches(filter, time)) deliver(session, time, timeMessage(Date.now()), 0, acl);
        const device = filter.startsWith(devices) ? filter.slice(devices.length).split("/")[0] : undefined;
        if (device === undefined || !session.credential?.owns(device)) continue;
        byDevice.set(device, (byDevice.get(device) ?? new Set()).add(session));
        listening.set(session, (listening.get(session) ?? new Set()).add(device));
      }
    },
    forget(session) {
      for (const device of listening.get(session) ?? []) {
        const set = byDevice.get(device);
        if (set?.delete(session) && set.size === 0) byDevice.delete(device);
      }
      listening.delete(session);
    },
    hasListener: (device) => byDevice.has(device),
    tellTime: () => send(time, timeMessage(Date.now()), 0),
  };
}

function deliver(session: Session, topic: string, payload: string, atMostQos: 0 | 1, acl: Acl): void {
  const { client, credential, conn } = session;
  if (!client?.connected || !credential || conn.writableLength > MAX_UNREAD_BYTES) return;
  let granted: number | undefined;
  for (const [filter, qos] of session.filters) {
    if (matches(filter, topic)) granted = Math.max(granted ?? 0, qos);
  }
  if (granted === undefined || !acl.mayReceive(topic, credential.devices)) return;
  const qos = Math.min(granted, atMostQos) as 0 | 1;
  client.publish(
    { cmd: "publish", topic, payload: Buffer.from(payload), qos, retain: false, dup: false },
    () => {},
  );
}
