import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import type { Bus } from "@sluice/bus";
import {
  decodeMessage,
  InvalidInputError,
  OutageError,
  type Resource,
  streamKey,
  type Telemetry,
} from "@sluice/shared-types";

/** Follows what is accepted, while anybody listens. */
export interface Live extends Resource {
  /** Hears every message accepted from now on; call what it gives to stop. */
  subscribe(listener: (message: Telemetry) => void): () => void;
  /** How many listen. */
  listeners(): number;
}

const POLL_MS = 150;
const RETRY_MS = 1000;
/** Entries read at once: one holds up to 256 KB. */
const ENTRIES = 20;
/** Pages read in one go before it skips ahead. */
const AT_MOST_BEHIND = 50;

/** Opens the tail of the telemetry streams. One reader for all listeners, none where nobody listens. */
export function openLive(bus: Bus, partitions: number): Live {
  const listeners = new Set<(message: Telemetry) => void>();
  const stop = new AbortController();
  let running: Promise<void> | undefined;
  const follow = async () => {
    const streams = Array.from({ length: partitions }, (_, i) => streamKey("telemetry", i));
    const last = new Map<string, string>();
    for (const stream of streams) last.set(stream, await newestId(bus, stream));
    while (listeners.size > 0 && !stop.signal.aborted) {
      let found = 0;
      for (const stream of streams) found += await readOn(bus, stream, last, listeners);
      if (found === 0) await delay(POLL_MS, undefined, { signal: stop.signal }).catch(() => {});
    }
  };
  const run = async (): Promise<void> => {
    while (listeners.size > 0 && !stop.signal.aborted) {
      try {
        await follow();
      } catch (error) {
        if (!(error instanceof OutageError)) throw error;
        await delay(RETRY_MS, undefined, { signal: stop.signal }).catch(() => {});
      }
    }
    running = undefined;
  };
  return {
    subscribe(listener) {
      listeners.add(listener);
      running ??= run();
      return () => void listeners.delete(listener);
    },
    listeners: () => listeners.size,
    ping: async () => {},
    close: async () => {
      stop.abort();
      await running;
    },
  };
}

async function newestId(bus: Bus, stream: string): Promise<string> {
  const [newest] = await bus.browse(stream, { from: "-", count: 1, reverse: true });
  return newest?.id ?? "-";
}

/** Tells what came after the last entry seen. A reader far behind skips ahead: it shows what is now. */
async function readOn(
  bus: Bus,
  stream: string,
  last: Map<string, string>,
  listeners: ReadonlySet<(message: Telemetry) => void>,
): Promise<number> {
  let pages = 0;
  for (;;) {
    const from = last.get(stream) ?? "-";
    const entries = (await bus.browse(stream, { from, count: ENTRIES })).filter(({ id }) => id !== from);
    for (const { messages } of entries) {
      for (const text of messages) tell(text, listeners);
      await nextTurn(); // what was told can leave before more is added
    }
    const end = entries.at(-1)?.id;
    if (end !== undefined) last.set(stream, end);
    if (entries.length < ENTRIES - 1) return pages + entries.length;
    pages += entries.length;
    if (pages > ENTRIES * AT_MOST_BEHIND) {
      last.set(stream, await newestId(bus, stream));
      return pages;
    }
  }
}

function tell(text: string, listeners: ReadonlySet<(message: Telemetry) => void>): void {
  let message: Telemetry;
  try {
    message = decodeMessage(text);
  } catch (error) {
    if (error instanceof InvalidInputError) return;
    throw error;
  }
  for (const listener of listeners) listener(message);
}
