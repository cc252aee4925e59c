import { setTimeout as delay } from "node:timers/promises";
import type { Bus } from "@sluice/bus";
import { OutageError, type Resource } from "@sluice/shared-types";

/** How to follow a stream whose news is for every gateway. */
export interface FollowOptions {
  stream: string;
  /** The group whose only purpose is that what everybody has seen can be trimmed: all gateways share one consumer. */
  group: string;
  onMessage(text: string): void;
  /** How long to wait before the next look, after one that found something or did not. */
  pauseMs(found: boolean): number;
}

const AFTER_FAILURE_MS = 500;
const PAGE = 500;

/** Hears every message of a stream from now on. `ping` rejects while it cannot be read. */
export async function followStream(bus: Bus, options: FollowOptions): Promise<Resource> {
  const { stream, group } = options;
  const stop = new AbortController();
  let failing: Error | undefined;
  await bus.ensureGroup(stream, group);
  const [last] = await bus.browse(stream, { from: "+", count: 1, reverse: true });
  let lastId = last?.id;
  const reader = await bus.reader({ stream, group, consumer: group });

  const step = async (): Promise<boolean> => {
    const entries = await bus.browse(stream, { from: lastId ?? "-", count: PAGE });
    const fresh = entries.filter((entry) => entry.id !== lastId);
    for (const entry of fresh) for (const message of entry.messages) options.onMessage(message);
    lastId = entries.at(-1)?.id ?? lastId;
    if (fresh.length === 0) return false;
    const read = await reader.read(PAGE, 0);
    const done = read.map(({ id, messages }) => ({
      id,
      stored: messages.length,
      duplicate: 0,
      quarantined: 0,
    }));
    if (done.length > 0) await reader.ack(done);
    return true;
  };
  const loop = async () => {
    while (!stop.signal.aborted) {
      let found = false;
      try {
        found = await step();
        failing = undefined;
      } catch (error) {
        if (!(error instanceof OutageError)) throw error;
        failing = error;
      }
      const waitMs = failing ? AFTER_FAILURE_MS : options.pauseMs(found);
      await delay(waitMs, undefined, { signal: stop.signal }).catch(() => {});
    }
  };
  const running = loop();
  return {
    ping: async () => {
      if (failing) throw failing;
    },
    close: async () => {
      stop.abort();
      await running;
      await reader.close();
    },
  };
}
