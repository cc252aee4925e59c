import { connect, type Socket } from "node:net";

/**
 * A QoS 1 publisher that costs little: packets are made once and only their packet id changes, PUBACKs are read
 * four bytes at a time. A benchmark's load must not take the CPU it measures; real clients are used in the tests.
 */
export interface Publisher {
  /** Sends up to `count` messages, as many as the window has room for; returns how many it sent. */
  send(count: number): number;
  /** Messages sent and not yet acknowledged. */
  inFlight(): number;
  close(): Promise<void>;
}

export interface PublisherOptions {
  host: string;
  port: number;
  clientId: string;
  username: string;
  password: string;
  /** Ready PUBLISH packets; they are sent in turn. */
  packets: readonly PublishPacket[];
  /** Most messages that may be unacknowledged. */
  window: number;
  /** Called for each PUBACK with the time since its PUBLISH. */
  onAck(latencyMs: number): void;
  onClose(): void;
}

/** An encoded PUBLISH and where its packet id is. */
export interface PublishPacket {
  bytes: Buffer;
  idOffset: number;
}

/** Encodes a QoS 1 PUBLISH of `payload` on `topic`. */
export function createPublish(topic: string, payload: string): PublishPacket {
  const body = Buffer.concat([lengthPrefixed(topic), Buffer.alloc(2), Buffer.from(payload)]);
  const length = variableLength(body.length);
  return {
    bytes: Buffer.concat([Buffer.from([0x32]), length, body]),
    idOffset: 1 + length.length + 2 + Buffer.byteLength(topic),
  };
}

/** Connects and resolves once the broker has accepted the credentials. */
export async function openPublisher(options: PublisherOptions): Promise<Publisher> {
  const socket = connect({ host: options.host, port: options.port, noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed before CONNACK")));
    socket.once("connect", () => socket.write(connectPacket(options)));
    socket.once("data", (reply) => {
      if (reply[0] === 0x20 && reply[3] === 0) resolve();
      else reject(new Error(`CONNACK ${reply.toString("hex")}`));
    });
  });
  return createWindow(socket, options);
}

function createWindow(socket: Socket, options: PublisherOptions): Publisher {
  const sentAt = new Float64Array(65_536);
  let id = 0;
  let next = 0;
  let unacked = 0;
  let rest: Buffer | undefined;
  socket.on("data", (chunk) => {
    const data = rest ? Buffer.concat([rest, chunk]) : chunk;
    const now = performance.now();
    let at = 0;
    for (; at + 4 <= data.length; at += 4) {
      const acked = data.readUInt16BE(at + 2);
      unacked--;
      options.onAck(now - (sentAt[acked] ?? now));
    }
    rest = at < data.length ? Buffer.from(data.subarray(at)) : undefined;
  });
  socket.on("error", () => {});
  socket.on("close", options.onClose);
  return {
    send(count) {
      const room = Math.min(count, options.window - unacked);
      if (room <= 0) return 0;
      const now = performance.now();
      const chunks: Buffer[] = [];
      for (let i = 0; i < room; i++) {
        const packet = options.packets[next];
        if (!packet) break;
        next = (next + 1) % options.packets.length;
        id = id === 65_535 ? 1 : id + 1;
        const bytes = Buffer.from(packet.bytes);
        bytes.writeUInt16BE(id, packet.idOffset);
        sentAt[id] = now;
        chunks.push(bytes);
      }
      unacked += chunks.length;
      socket.write(Buffer.concat(chunks));
      return chunks.length;
    },
    inFlight: () => unacked,
    close: () =>
      new Promise((resolve) => {
        socket.once("close", () => resolve());
        socket.end(Buffer.from([0xe0, 0]));
      }),
  };
}

function connectPacket({ clientId, username, password }: PublisherOptions): Buffer {
  const header = Buffer.concat([lengthPrefixed("MQTT"), Buffer.from([4, 0b1100_0010, 0, 60])]);
  const body = Buffer.concat([header, ...[clientId, username, password].map(lengthPrefixed)]);
  return Buffer.concat([Buffer.from([0x10]), variableLength(body.length), body]);
}

function lengthPrefixed(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function variableLength(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    const digit = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? digit | 0x80 : digit);
  } while (rest > 0);
  return Buffer.from(bytes);
}
