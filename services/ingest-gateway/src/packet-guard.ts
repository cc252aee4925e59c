import type { Duplex } from "node:stream";

/** What is wrong with a packet whose body has not been read yet. */
export type PacketFault = "too_large" | "protocol_error";

/** Where one MQTT connection is in its packets, by their fixed headers; a record of numbers, as there are very many. */
export interface PacketGuard {
  /** Longest packet allowed now, and once the client is known. */
  limit: number;
  readonly fullLimit: number;
  /** Bytes of the present packet still to come. */
  body: number;
  /** Bytes of the fixed header seen, and what it says so far. */
  header: number;
  length: number;
  scale: number;
}

/** A CONNECT with client id, will, user and password fits; nobody may send more before he is known. */
const BEFORE_CONNECT = 16 * 1024;

/** The guard of a new connection. */
export const createPacketGuard = (maxPacketBytes: number): PacketGuard => ({
  limit: Math.min(BEFORE_CONNECT, maxPacketBytes),
  fullLimit: maxPacketBytes,
  body: 0,
  header: 0,
  length: 0,
  scale: 1,
});

/** From now on packets up to the full limit are allowed. */
export function admitPackets(guard: PacketGuard): void {
  guard.limit = guard.fullLimit;
}

/** Bytes of the packet under way that its header announced, once it is known. */
export const announcedBytes = ({ body, length }: PacketGuard): number => (body > 0 ? length : 0);

/**
 * Looks at the next bytes, without keeping one; names the fault of the first packet that may not be read. MQTT parsers
 * collect a packet until it is complete, so its length has to be judged when the header comes: 5 bytes are enough.
 */
export function checkPackets(guard: PacketGuard, chunk: Buffer): PacketFault | undefined {
  let at = 0;
  while (at < chunk.length) {
    if (guard.body > 0) {
      const step = Math.min(guard.body, chunk.length - at);
      guard.body -= step;
      at += step;
      continue;
    }
    const byte = chunk[at++] ?? 0;
    if (guard.header === 0) {
      guard.header = 1;
      guard.length = 0;
      guard.scale = 1;
      continue;
    }
    guard.length += (byte & 127) * guard.scale;
    guard.scale *= 128;
    if (byte & 128) {
      if (++guard.header > 4) return "protocol_error";
      continue;
    }
    if (guard.length > guard.limit) return "too_large";
    guard.body = guard.length;
    guard.header = 0;
  }
  return undefined;
}

/**
 * Puts `check` between a connection and whoever reads from it: a chunk for which it answers false is not
 * handed on. No stream is added, so that an idle connection costs nothing.
 */
export function guardReads(conn: Duplex, gate: { mayRead(): boolean; check(chunk: Buffer): boolean }): void {
  const { read } = conn;
  conn.read = (size?: number) => {
    if (!gate.mayRead()) return null;
    const chunk: unknown = read.call(conn, size);
    if (!Buffer.isBuffer(chunk)) return chunk;
    return gate.check(chunk) ? chunk : null;
  };
}
