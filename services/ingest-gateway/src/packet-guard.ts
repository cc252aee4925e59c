import type { Duplex } from "node:stream";

/** What is wrong with a packet whose body has not been read yet. */
export type PacketFault = "too_large" | "protocol_error";

/** Follows the packets of one MQTT connection by their fixed headers, without keeping a byte. */
export interface PacketGuard {
  /** Looks at the next bytes; names the fault of the first packet that may not be read. */
  check(chunk: Buffer): PacketFault | undefined;
  /** Bytes of the packet under way that its header announced, once it is known. */
  announced(): number;
  /** From now on packets up to the full limit are allowed. */
  admit(): void;
}

/** A CONNECT with client id, will, user and password fits; nobody may send more before he is known. */
const BEFORE_CONNECT = 16 * 1024;

/**
 * Opens the guard of a new connection. MQTT parsers collect a packet until it is complete, so its length has
 * to be judged when the header comes: 5 bytes are enough.
 */
export function createPacketGuard(maxPacketBytes: number): PacketGuard {
  let limit = Math.min(BEFORE_CONNECT, maxPacketBytes);
  let body = 0; // bytes of the present packet still to come
  let header = 0; // bytes of the fixed header seen
  let length = 0;
  let scale = 1;
  return {
    admit: () => {
      limit = maxPacketBytes;
    },
    announced: () => (body > 0 ? length : 0),
    check(chunk) {
      let at = 0;
      while (at < chunk.length) {
        if (body > 0) {
          const step = Math.min(body, chunk.length - at);
          body -= step;
          at += step;
          continue;
        }
        const byte = chunk[at++] ?? 0;
        if (header === 0) {
          header = 1;
          length = 0;
          scale = 1;
          continue;
        }
        length += (byte & 127) * scale;
        scale *= 128;
        if (byte & 128) {
          if (++header > 4) return "protocol_error";
          continue;
        }
        if (length > limit) return "too_large";
        body = length;
        header = 0;
      }
      return undefined;
    },
  };
}

/**
 * Puts `check` between a connection and whoever reads from it: a chunk for which it answers false is not
 * handed on. No stream is added, so that an idle connection costs nothing.
 */
export function guardReads(conn: Duplex, gate: { mayRead(): boolean; check(chunk: Buffer): boolean }): void {
  const read = conn.read.bind(conn);
  conn.read = (size?: number) => {
    if (!gate.mayRead()) return null;
    const chunk: unknown = read(size);
    if (!Buffer.isBuffer(chunk)) return chunk;
    return gate.check(chunk) ? chunk : null;
  };
}
