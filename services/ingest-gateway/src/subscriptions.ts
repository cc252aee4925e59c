import type { Acl } from "./acl.ts";
import type { ClaimDesk } from "./claim-desk.ts";
import type { Session } from "./session.ts";

/** What connections have subscribed to, and may. */
export interface Subscriptions {
  /** Notes a filter as the session's; false where it may not have it, or has too many. */
  grant(session: Session, filter: string, qos: 0 | 1 | 2): boolean;
  drop(session: Session, filters: readonly string[]): void;
  /** Whether what is published on `topic` may go to the session; undefined for a client that has none. */
  mayReceive(session: Session | undefined, topic: string): boolean;
}

const MAX_FILTERS = 64;

/** Creates it; nothing to close. Who has only a claim token hears nothing but the answers to his asking. */
export function createSubscriptions(acl: Acl, claims: Pick<ClaimDesk, "mayListen">): Subscriptions {
  const devicesOf = (session: Session | undefined) => session?.credential?.devices ?? [];
  return {
    grant(session, filter, qos) {
      const may =
        session.filters.size < MAX_FILTERS &&
        (session.claim === undefined
          ? acl.maySubscribe(filter, devicesOf(session))
          : claims.mayListen(filter));
      if (may) session.filters = new Map([...session.filters, [filter, qos]]);
      return may;
    },
    drop(session, filters) {
      session.filters = new Map([...session.filters].filter(([filter]) => !filters.includes(filter)));
    },
    mayReceive(session, topic) {
      if (session?.claim !== undefined) return session.filters.has(topic);
      return topic.startsWith("$") || acl.mayReceive(topic, devicesOf(session));
    },
  };
}
