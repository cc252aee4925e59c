import type { Command, DeviceConfig } from "@sluice/db";
import { createTopics, OutageError } from "@sluice/shared-types";
import type { ConfirmedPublish, Sent } from "./confirmed-publish.ts";
import type { Deliveries } from "./deliveries.ts";
import type { Subscriber } from "./subscribe.ts";

/** Another broker, and which devices were heard of there. */
export interface Outside {
  publish: Subscriber["publish"];
  isUp(): boolean;
  isReachable(device: string): boolean;
}

/** What the ways out are made of. */
export interface CommandWaysDeps {
  deliveries: Pick<Deliveries, "findListener">;
  confirmed: Pick<ConfirmedPublish, "send">;
  outside: Outside | undefined;
  root: string;
}

/** How a command leaves: one with the same key is one message, however many of its devices stand behind it. */
export interface Way {
  key: string;
  send(): Promise<Sent>;
}

/** Finds how messages get to devices from this gateway. */
export interface CommandWays {
  /** Undefined where the device is not to be reached from here now. */
  find(command: Command): Way | undefined;
  /** Sends what the device shall be set to to whoever listens for it. */
  configure(config: DeviceConfig): Promise<void>;
}

/** A device of ours that has subscribed comes first; then, where there is another broker, one heard of there. */
export function createCommandWays({ deliveries, confirmed, outside, root }: CommandWaysDeps): CommandWays {
  const topics = createTopics(root);
  const sendHere = async (device: string, topic: string, payload: string): Promise<Sent> => {
    const listener = deliveries.findListener(device, topic);
    if (!listener) return "unsent";
    if (listener.qos === 1) return confirmed.send(listener.client, topic, payload);
    const packet = { cmd: "publish", qos: 0, retain: false, dup: false } as const;
    listener.client.publish({ ...packet, topic, payload: Buffer.from(payload) }, () => {});
    return "sent";
  };
  return {
    find(command) {
      const { device, group, type, wireId } = command;
      const own = topics.command(device, type);
      const shared = group === null ? undefined : topics.fleetCommand(group);
      for (const topic of shared === undefined ? [own] : [shared, own]) {
        const listener = deliveries.findListener(device, topic);
        if (listener) {
          const send = () => sendHere(device, topic, payloadOf(command));
          return { key: `${listener.client.id} ${topic} ${wireId}`, send };
        }
      }
      if (!outside?.isUp() || !outside.isReachable(device)) return undefined;
      const topic = shared ?? own;
      const send = async (): Promise<Sent> => {
        await outside.publish(topic, payloadOf(command), { qos: 1, retain: false });
        return "sent"; // the broker has it; whether the device has, only its answer tells
      };
      return { key: `outside ${topic} ${wireId}`, send };
    },
    async configure({ device, version, config }) {
      const topic = topics.config(device);
      const payload = JSON.stringify({ version, config });
      void sendHere(device, topic, payload);
      if (!outside?.isUp()) return;
      // Kept there, so that a device finds it whenever it connects; the same again changes nothing.
      await outside.publish(topic, payload, { qos: 1, retain: true }).catch((error: unknown) => {
        if (!(error instanceof OutageError)) throw error;
      });
    },
  };
}

/** What the device sees: its payload, the id to answer with, and for a group, whose topic has no type, the type. */
const payloadOf = ({ payload, wireId, group, type }: Command): string =>
  JSON.stringify({ ...payload, ...(group === null ? {} : { type }), id: wireId });
