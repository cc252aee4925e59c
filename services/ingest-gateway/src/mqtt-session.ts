import { OutageError, type Resource } from "@sluice/shared-types";
import type { IPublishPacket } from "mqtt-packet";
import { isVersionRefused, type Link, type LinkEnd, type LinkOptions, openLink } from "./mqtt-link.ts";

/** What the session's owner does with it. */
export interface SessionOptions extends Omit<LinkOptions, "version" | "receiveMaximum" | "clean"> {
  /** Most messages taken and not yet acknowledged; beyond it, or beyond `windowBytes`, reading stops. */
  window: number;
  windowBytes: number;
  /** Subscribes on a fresh link; a rejection closes the link and the session tries again later. */
  prepare(link: Link): Promise<void>;
  /**
   * Makes one message durable. Resolving acknowledges it; OutageError means nothing was kept: it is tried
   * again while the link lives. Any other rejection is a broken promise and crashes the process.
   */
  accept(packet: IPublishPacket, link: Link): Promise<void>;
  /** After the broker closed a link for no reason: who else has our id. Rejects with OutageError. */
  findRival?(): Promise<string | undefined>;
  onState?(state: SessionState): void;
}

/** Where a session stands; `why` is one clause for people. */
export type SessionState =
  | { is: "up"; sessionPresent: boolean }
  | { is: "down"; why: string }
  /** Another gateway has our id: it is left alone while it is there. */
  | { is: "taken-over"; why: string };

/**
 * A persistent session at an external broker, over one link after another. PUBACK goes out in the order the
 * messages came, only on the link a message came on, and only once it is durable; the next link opens only
 * when nothing of the last one is still being made durable, so that a redelivery meets what it repeats.
 */
export interface Session extends Resource {
  /** The living link, if there is one. */
  link(): Link | undefined;
  state(): SessionState;
  /** Messages and bytes taken and not yet settled. */
  inFlight(): { messages: number; bytes: number };
  /** When the last message came, epoch ms. */
  lastMessageMs(): number;
}

interface Taken {
  packetId: number;
  settled: boolean;
}

const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 15_000;
/** How often to look whether the gateway that has our id is still there. */
const RIVAL_RETRY_MS = 10_000;
/** A link that lived this long starts the back-off anew. */
const STABLE_MS = 30_000;

/** Starts connecting and returns at once; `ping` tells whether it is up. */
export function openMqttSession(options: SessionOptions): Session {
  const window = createWindow(options.window, options.windowBytes);
  const sleeper = createSleeper();
  let stopping = false;
  let stopLink = () => {};
  let state: SessionState = { is: "down", why: "connecting" };
  let current: Link | undefined;
  let lastMessageMs = 0;
  let version: 4 | 5 = 5;

  const enter = (next: SessionState) => {
    state = next;
    options.onState?.(next);
  };

  const deliver = async (packet: IPublishPacket, link: Link): Promise<boolean> => {
    for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, 5000)) {
      try {
        await options.accept(packet, link);
        return true;
      } catch (error) {
        if (!(error instanceof OutageError)) throw error;
        if (link.isOpen() && !stopping) await sleeper.sleep(error.retryAfterMs ?? waitMs);
        if (!link.isOpen() || stopping) return false;
      }
    }
  };

  const take = async (packet: IPublishPacket, link: Link, queue: AckQueue) => {
    lastMessageMs = Date.now();
    const bytes = packet.payload.length + packet.topic.length;
    const taken: Taken = { packetId: packet.messageId ?? 0, settled: false };
    if (packet.qos > 0) queue.push(taken);
    if (window.enter(bytes, link)) link.pause();
    taken.settled = await deliver(packet, link);
    if (taken.settled) queue.schedule(link);
    window.leave(bytes);
  };

  /** One link from CONNECT to its end. */
  const live = async (): Promise<LinkEnd & { livedMs: number }> => {
    const queue = createAckQueue();
    const link = await openLink({ ...options, version, receiveMaximum: options.window }, (packet, on) => {
      void take(packet, on, queue);
    });
    const startedMs = Date.now();
    const ended = new Promise<LinkEnd>((resolve) => {
      stopLink = () => resolve({ takeover: false, reason: "closing" });
      void link.ended.then(resolve);
    });
    try {
      await options.prepare(link);
      current = link;
      if (!stopping) enter({ is: "up", sessionPresent: link.connack.sessionPresent });
      return {
        ...(stopping ? { takeover: false, reason: "closing" } : await ended),
        livedMs: Date.now() - startedMs,
      };
    } finally {
      current = undefined;
      window.hold();
      link.pause();
      if (stopping) await window.idle();
      queue.flush(link);
      await link.end();
      sleeper.wake();
    }
  };

  const run = async () => {
    let retryMs = FIRST_RETRY_MS;
    let suspicious = false;
    while (!stopping) {
      await window.idle();
      if (stopping) return;
      try {
        const rival = suspicious ? await options.findRival?.() : undefined;
        if (rival !== undefined) {
          enter({ is: "taken-over", why: `gateway ${rival} uses the same client id` });
          await sleeper.sleep(RIVAL_RETRY_MS);
          continue;
        }
        suspicious = false;
        const end = await live();
        if (stopping) return;
        suspicious = end.takeover;
        if (end.livedMs > STABLE_MS) retryMs = FIRST_RETRY_MS;
        enter({ is: "down", why: end.reason });
      } catch (error) {
        if (!(error instanceof OutageError)) throw error;
        if (isVersionRefused(error)) version = 4;
        if (stopping) return;
        enter({ is: "down", why: error.message });
      }
      await sleeper.sleep(retryMs * (0.5 + Math.random() / 2));
      retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
    }
  };
  const running = run();

  return {
    link: () => current,
    state: () => state,
    inFlight: window.size,
    lastMessageMs: () => lastMessageMs,
    ping: async () => {
      if (state.is !== "up") throw new OutageError("mqtt", state.why);
    },
    close: async () => {
      stopping = true;
      stopLink();
      sleeper.wake();
      await running;
    },
  };
}

/** Counts what is under way over all links of a session; says when to stop reading and when to go on. */
function createWindow(limit: number, limitBytes: number) {
  let messages = 0;
  let bytes = 0;
  let held: Link | undefined;
  const idlers: (() => void)[] = [];
  return {
    /** Forgets which link to resume: it is about to end. */
    hold: () => {
      held = undefined;
    },
    enter: (size: number, link: Link): boolean => {
      messages++;
      bytes += size;
      if (messages < limit && bytes < limitBytes) return false;
      held = link.isOpen() ? link : undefined;
      return true;
    },
    leave: (size: number) => {
      messages--;
      bytes -= size;
      if (held && messages <= limit / 2 && bytes <= limitBytes / 2) {
        held.resume();
        held = undefined;
      }
      if (messages === 0) for (const resolve of idlers.splice(0)) resolve();
    },
    idle: (): Promise<void> =>
      messages === 0 ? Promise.resolve() : new Promise((resolve) => idlers.push(resolve)),
    size: () => ({ messages, bytes }),
  };
}

/** PUBACKs of one link: MQTT wants them in the order of the PUBLISHes, so the front one holds the others. */
interface AckQueue {
  push(taken: Taken): void;
  /** Flushes once per turn of the event loop, so that one write carries many. */
  schedule(link: Link): void;
  flush(link: Link): void;
}

function createAckQueue(): AckQueue {
  let queue: Taken[] = [];
  let scheduled = false;
  const flush = (link: Link) => {
    scheduled = false;
    let n = 0;
    while (queue[n]?.settled) n++;
    link.acknowledge(queue.slice(0, n).map((taken) => taken.packetId));
    queue = queue.slice(n);
  };
  return {
    push: (taken) => void queue.push(taken),
    schedule: (link) => {
      if (scheduled) return;
      scheduled = true;
      setImmediate(flush, link);
    },
    flush,
  };
}

/** Waits that can all be cut short at once. */
function createSleeper() {
  const sleepers = new Set<() => void>();
  return {
    sleep: (ms: number): Promise<void> =>
      new Promise((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          sleepers.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, ms);
        sleepers.add(wake);
      }),
    wake: () => {
      for (const wake of [...sleepers]) wake();
    },
  };
}
