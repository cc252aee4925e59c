import { setTimeout as delay } from "node:timers/promises";
import { type Db, type LiveEvent, listLiveEvents } from "@sluice/db";
import { OutageError, type Resource } from "@sluice/shared-types";

/** Follows what happens, while anybody listens. */
export interface Events extends Resource {
  /** Hears of everything from now on; call what it gives to stop. */
  subscribe(listener: (event: LiveEvent) => void): () => void;
}

const POLL_MS = 1000;
const MAX_EVENTS = 200;
/** A transaction may commit this long after the instants in it. */
const OVERLAP_MS = 10_000;

/** Opens it over PostgreSQL: one query a second for all listeners, none where nobody listens. */
export function openEvents(db: Db): Events {
  const listeners = new Set<(event: LiveEvent) => void>();
  const stop = new AbortController();
  let running: Promise<void> | undefined;
  const run = async (): Promise<void> => {
    let told: Map<string, number> | undefined;
    while (listeners.size > 0 && !stop.signal.aborted) {
      try {
        const sinceMs = Date.now() - OVERLAP_MS;
        const events = await listLiveEvents(db, new Date(sinceMs), MAX_EVENTS);
        // What the first look finds was there before anybody listened.
        told ??= new Map(events.map((event) => [keyOf(event), event.at.getTime()]));
        for (const event of events) {
          if (told.has(keyOf(event))) continue;
          told.set(keyOf(event), event.at.getTime());
          for (const listener of listeners) listener(event);
        }
        for (const [key, atMs] of told) if (atMs < sinceMs - OVERLAP_MS) told.delete(key);
      } catch (error) {
        if (!(error instanceof OutageError)) throw error;
      }
      await delay(POLL_MS, undefined, { signal: stop.signal }).catch(() => {});
    }
    running = undefined;
  };
  return {
    subscribe(listener) {
      listeners.add(listener);
      running ??= run();
      return () => void listeners.delete(listener);
    },
    ping: async () => {},
    close: async () => {
      stop.abort();
      await running;
    },
  };
}

const keyOf = ({ kind, id, state }: LiveEvent) => `${kind} ${id} ${state}`;
