import { OutageError } from "@sluice/shared-types";
import { generate, type IConnackPacket, type IPublishPacket, type Packet, parser } from "mqtt-packet";
import { connackReason, disconnectReason } from "./mqtt-reasons.ts";
import { connectPacket, openSocket } from "./mqtt-socket.ts";

/** Where and as whom to connect. */
export interface LinkOptions {
  url: URL;
  clientId: string;
  /** PEM of the authorities to trust instead of the system's. */
  ca?: string;
  /** 5, or 4 for MQTT 3.1.1. */
  version: 4 | 5;
  /** Starts an empty session and leaves none behind; only for ending a session for good. */
  clean?: boolean;
  keepaliveMs: number;
  connectTimeoutMs: number;
  /** How many unacknowledged messages the broker may send (MQTT 5). */
  receiveMaximum: number;
}

/** Why a link ended. */
export interface LinkEnd {
  /** Another client may have come with the same id: the broker says so, or closed without saying anything. */
  takeover: boolean;
  reason: string;
}

/** One network connection. It never reconnects: what is acknowledged on it can only belong to it. */
export interface Link {
  connack: IConnackPacket;
  version: 4 | 5;
  /**
   * Resolves with the broker's code for each filter; rejects with OutageError when the link ends first. MQTT 5
   * brokers are asked to leave retained messages out unless `replay` wants them.
   */
  subscribe(filters: readonly { topic: string; qos: 0 | 1; replay?: boolean }[]): Promise<number[]>;
  unsubscribe(filters: readonly string[]): Promise<void>;
  /** QoS 0: once written; QoS 1: once the broker has acknowledged. Rejects with OutageError. */
  publish(topic: string, payload: string | Buffer, options: { qos: 0 | 1; retain: boolean }): Promise<void>;
  /** Sends PUBACK for these packet ids, in this order; nothing on a link that has ended. */
  acknowledge(packetIds: readonly number[]): void;
  /** Stops and starts reading; the broker is held back by TCP meanwhile. */
  pause(): void;
  resume(): void;
  /** Resolves when the broker has answered a ping that was sent now. */
  roundTrip(): Promise<void>;
  isOpen(): boolean;
  ended: Promise<LinkEnd>;
  /** Says goodbye (the session stays) and closes. */
  end(): Promise<void>;
}

const TAKEN_OVER = 142;
/** Bytes not yet taken by the broker from which QoS 0 publishes are refused. */
const MAX_UNSENT = 4 * 1024 * 1024;

type Pending = { resolve(packet: Packet): void; reject(error: Error): void };

/**
 * Connects and waits for CONNACK. `onPublish` gets every PUBLISH from then on, a stored session's backlog
 * before this resolves included. Rejects with OutageError saying what is wrong.
 */
export async function openLink(
  options: LinkOptions,
  onPublish: (packet: IPublishPacket, link: Link) => void,
): Promise<Link> {
  const where = `${options.url.protocol}//${options.url.host}`;
  const outage = (why: string, cause?: unknown) =>
    new OutageError("mqtt", `${where}: ${why}`, undefined, cause === undefined ? {} : { cause });
  const socket = openSocket(options);
  const incoming = parser({ protocolVersion: options.version });
  const pending = new Map<number, Pending>();
  const pings: (() => void)[] = [];
  let open = true;
  let paused = false;
  let nextId = 0;
  let heardMs = Date.now();
  let connacked: Pending | undefined;
  let finish: (end: LinkEnd) => void = () => {};
  const ended = new Promise<LinkEnd>((resolve) => {
    finish = resolve;
  });
  const opened = new Promise<IConnackPacket>((resolve, reject) => {
    connacked = { resolve: (packet) => resolve(packet as IConnackPacket), reject };
  });

  const lose = (reason: string, takeover = false, cause?: unknown) => {
    if (!open) return;
    open = false;
    clearInterval(keepalive);
    clearTimeout(connectTimer);
    socket.destroy();
    const error = outage(reason, cause);
    connacked?.reject(error);
    for (const waiting of pending.values()) waiting.reject(error);
    pending.clear();
    for (const done of pings.splice(0)) done();
    finish({ takeover, reason });
  };
  const send = (packet: Packet) => {
    if (open) socket.write(generate(packet, { protocolVersion: options.version }));
  };
  let pingedMs = Date.now();
  const keepalive = setInterval(() => {
    const nowMs = Date.now();
    if (!paused && nowMs - heardMs > options.keepaliveMs) return lose("no answer to keepalive");
    if (nowMs - pingedMs < options.keepaliveMs / 3) return;
    pingedMs = nowMs;
    send({ cmd: "pingreq" });
  }, options.keepaliveMs / 6);
  const connectTimer = setTimeout(
    () => lose(`no answer to CONNECT in ${options.connectTimeoutMs} ms`),
    options.connectTimeoutMs,
  );

  const allocate = () => {
    do nextId = nextId === 65_535 ? 1 : nextId + 1;
    while (pending.has(nextId));
    return nextId;
  };
  const request = (packet: Packet & { messageId: number }): Promise<Packet> =>
    new Promise((resolve, reject) => {
      if (!open) return reject(outage("not connected"));
      pending.set(packet.messageId, { resolve, reject });
      send(packet);
    });

  const link: Link = {
    connack: { cmd: "connack", sessionPresent: false },
    version: options.version,
    subscribe: async (filters) => {
      const subscriptions = filters.map(({ topic, qos, replay }) =>
        options.version === 5 ? { topic, qos, nl: false, rap: false, rh: replay ? 0 : 2 } : { topic, qos },
      );
      const suback = await request({ cmd: "subscribe", messageId: allocate(), subscriptions });
      return suback.cmd === "suback" ? suback.granted.map(Number) : [];
    },
    unsubscribe: async (filters) => {
      await request({ cmd: "unsubscribe", messageId: allocate(), unsubscriptions: [...filters] });
    },
    publish: async (topic, payload, { qos, retain }) => {
      if (!open) throw outage("not connected");
      const packet = { cmd: "publish", topic, payload, retain, dup: false } as const;
      if (qos === 0) {
        if (socket.writableLength > MAX_UNSENT) throw outage("the broker is not reading");
        return send({ ...packet, qos });
      }
      if (pending.size >= 1000) throw outage("too many publishes unacknowledged by the broker");
      const puback = await request({ ...packet, qos, messageId: allocate() });
      const code = puback.cmd === "puback" ? (puback.reasonCode ?? 0) : 0;
      if (code >= 128) throw outage(`the broker refused a publish to '${topic}' (reason ${code})`);
    },
    acknowledge: (packetIds) => {
      if (!open || packetIds.length === 0) return;
      const bytes = Buffer.alloc(packetIds.length * 4);
      for (const [i, id] of packetIds.entries()) bytes.writeUInt32BE(0x4002_0000 + id, i * 4);
      socket.write(bytes);
    },
    pause: () => {
      paused = true;
      socket.pause();
    },
    resume: () => {
      if (!paused) return;
      paused = false;
      heardMs = Date.now();
      socket.resume();
    },
    roundTrip: () =>
      new Promise((resolve) => {
        if (!open) return resolve();
        pings.push(resolve);
        send({ cmd: "pingreq" });
      }),
    isOpen: () => open,
    ended,
    end: async () => {
      if (!open) return;
      send({ cmd: "disconnect" });
      socket.end();
      const timer = setTimeout(() => lose("closed"), 1000);
      await ended;
      clearTimeout(timer);
    },
  };

  const handle = (packet: Packet) => {
    switch (packet.cmd) {
      case "publish":
        return onPublish(packet, link);
      case "connack":
        link.connack = packet;
        return connacked?.resolve(packet);
      case "suback":
      case "unsuback":
      case "puback": {
        const waiting = pending.get(packet.messageId ?? 0);
        pending.delete(packet.messageId ?? 0);
        return waiting?.resolve(packet);
      }
      case "pingresp":
        return pings.shift()?.();
      case "disconnect":
        return lose(disconnectReason(packet.reasonCode ?? 0), packet.reasonCode === TAKEN_OVER);
    }
  };
  incoming.on("packet", handle);
  incoming.on("error", (error: Error) => lose(`not MQTT: ${error.message}`, false, error));
  socket.on("data", (chunk: Buffer) => {
    heardMs = Date.now();
    incoming.parse(chunk);
  });
  socket.on("error", (error: Error) => lose(error.message, false, error));
  socket.on("close", () => lose("the broker closed the connection", connacked === undefined));
  send(connectPacket(options));

  const connack = await opened;
  clearTimeout(connectTimer);
  connacked = undefined;
  const code = connack.reasonCode ?? connack.returnCode ?? 0;
  if (code !== 0) {
    lose(connackReason(code));
    throw new RefusedError(where, code);
  }
  return link;
}

/** The broker answered CONNECT with a refusal. */
class RefusedError extends OutageError {
  readonly code: number;
  constructor(where: string, code: number) {
    super("mqtt", `${where}: ${connackReason(code)}`);
    this.code = code;
  }
}

/** Whether the broker refused because it does not speak the protocol version it was asked for. */
export const isVersionRefused = (error: unknown): boolean =>
  error instanceof RefusedError && (error.code === 1 || error.code === 132);
