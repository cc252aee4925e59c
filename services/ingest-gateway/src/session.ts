import type { Duplex } from "node:stream";
import type { Client } from "aedes";
import type { LiveCredential } from "./credential-book.ts";
import {
  announcedBytes,
  checkPackets,
  createPacketGuard,
  guardReads,
  type PacketFault,
  type PacketGuard,
} from "./packet-guard.ts";

/** One MQTT connection, from the first byte on. */
export interface Session {
  readonly conn: Duplex;
  readonly address: string;
  readonly guard: PacketGuard;
  client?: Client;
  clientId?: string;
  username?: string;
  /** Set once authenticated, and renewed when the credential changes. */
  credential?: LiveCredential;
  /** Set instead where somebody without a credential may register a device: his claim token. */
  claim?: string;
  /** Device ids of the certificate it was opened with. */
  certificate?: readonly string[];
  /** It is not read before this time of `performance.now()`: its device has sent too much. */
  restUntilMs: number;
  /** What it asked to have published when it is gone. */
  will?: object;
  /** Hash of the secret it was opened with. */
  hash?: string;
  /** Granted subscriptions and their QoS: of all those that have none, the same empty one. */
  filters: ReadonlyMap<string, 0 | 1 | 2>;
  /** Messages handed to ingest and not durable yet. */
  waiting: number;
  /** It ends because another connection of the same client took over, it was cut, or the gateway stops. */
  superseded: boolean;
  /** A fault of it was told: what follows from the same bytes is not told again. */
  faulty: boolean;
  /** Bytes of a large packet under way that it was granted. */
  large: number;
}

/** Bounds that hold for all connections together. */
export interface SessionLimits {
  maxPacketBytes: number;
  /** Messages of one connection that may wait for their append. */
  waitingPerConnection: number;
  /** Whether any connection may read now. */
  mayRead(): boolean;
}

const NO_FILTERS: Session["filters"] = new Map();
const LARGE = 64 * 1024;
const LARGE_TOTAL = 48 * 1024 * 1024;

/** Makes sessions that share one budget for large packets. */
export function createSessions(
  limits: SessionLimits,
  onFault: (session: Session, fault: PacketFault, bytes: Buffer) => void,
) {
  const all = new Set<Session>();
  const starving = new Set<Session>();
  let largeTotal = 0;

  const account = (session: Session, bytes: number): boolean => {
    largeTotal += bytes - session.large;
    session.large = bytes;
    return bytes === 0 || largeTotal <= LARGE_TOTAL;
  };
  const open = (conn: Duplex, address: string): Session => {
    const session: Session = {
      conn,
      address,
      guard: createPacketGuard(limits.maxPacketBytes),
      filters: NO_FILTERS,
      waiting: 0,
      restUntilMs: 0,
      superseded: false,
      faulty: false,
      large: 0,
    };
    all.add(session);
    let first = true;
    guardReads(conn, {
      mayRead: () => {
        const may =
          limits.mayRead() &&
          session.waiting < limits.waitingPerConnection &&
          session.restUntilMs <= performance.now();
        if (!may) starving.add(session);
        return may;
      },
      check: (chunk) => {
        // An MQTT connection begins with CONNECT: TLS, HTTP and noise are recognised by their first byte.
        const fault = first && chunk[0] !== 0x10 ? "protocol_error" : checkPackets(session.guard, chunk);
        first = false;
        const announced = fault ? 0 : announcedBytes(session.guard);
        const fits = account(session, announced > LARGE ? announced : 0);
        if (fault || !fits) {
          onFault(session, fault ?? "too_large", chunk);
          conn.destroy();
          return false;
        }
        return true;
      },
    });
    conn.once("close", () => {
      all.delete(session);
      starving.delete(session);
      account(session, 0);
    });
    return session;
  };
  return {
    all: all as ReadonlySet<Session>,
    open,
    /** Lets connections read again that had to stop. */
    feed() {
      for (const session of starving) {
        if (!limits.mayRead()) return;
        if (session.waiting >= limits.waitingPerConnection || session.restUntilMs > performance.now())
          continue;
        starving.delete(session);
        session.conn.emit("readable");
      }
    },
  };
}
