import type { Aedes, AedesPublishPacket, Client } from "aedes";

/** What became of a message: `unsent` certainly never left, `sent` left and was not acknowledged. */
export type Sent = "unsent" | "sent" | "acknowledged";

/** Sends at QoS 1 and hears whether the client has acknowledged it, which the broker does not tell by itself. */
export interface ConfirmedPublish {
  /** Resolves with the client's PUBACK, or when the connection ends without one. */
  send(client: Client, topic: string, payload: string): Promise<Sent>;
  /** Has to see every packet that is forwarded, to give ours their packet id. */
  forward(packet: AedesPublishPacket): void;
}

/** What of the broker is not in its types: where it notes acknowledgements, and a client's next packet id. */
interface Persistence {
  outgoingClearMessageId(client: Client, packet: { messageId: number }): Promise<unknown>;
}
const MOST_ID = 65_535;

/** Creates it over a broker that listens, whose sessions are all clean: its store knows of no outgoing message. */
export function createConfirmedPublish(aedes: Aedes): ConfirmedPublish {
  const ids = new WeakMap<object, number>();
  const waiting = new WeakMap<Client, Map<number, (outcome: Sent) => void>>();
  const { persistence } = aedes as unknown as { persistence: Persistence };
  const clear = persistence.outgoingClearMessageId.bind(persistence);
  persistence.outgoingClearMessageId = (client, packet) => {
    waiting.get(client)?.get(packet.messageId)?.("acknowledged");
    return clear(client, packet);
  };
  const waitersOf = (client: Client) => {
    const known = waiting.get(client);
    if (known) return known;
    const waiters = new Map<number, (outcome: Sent) => void>();
    waiting.set(client, waiters);
    client.conn.once("close", () => {
      for (const done of waiters.values()) done("sent");
    });
    return waiters;
  };
  return {
    send: (client, topic, text) =>
      new Promise((resolve) => {
        if (!client.connected || client.conn.destroyed) return resolve("unsent");
        const waiters = waitersOf(client);
        const id = takeId(client);
        waiters.set(id, (outcome) => {
          waiters.delete(id);
          resolve(outcome);
        });
        const payload = Buffer.from(text);
        ids.set(payload, id);
        client.publish({ cmd: "publish", topic, payload, qos: 1, retain: false, dup: false }, () => {});
      }),
    forward(packet) {
      const id = typeof packet.payload === "string" ? undefined : ids.get(packet.payload);
      if (id !== undefined) packet.messageId = id;
    },
  };
}

/** The broker numbers what it sends itself with the same counter. */
function takeId(client: Client): number {
  const counter = client as unknown as { _nextId: number };
  const id = counter._nextId;
  counter._nextId = id >= MOST_ID ? 1 : id + 1;
  return id;
}
