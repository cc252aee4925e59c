import { createInbox as createSubject, type Msg, nanos } from "nats";
import { type NatsLink, natsName } from "./nats-stream.ts";

const EXPIRES_MS = 10_000;
const HEARTBEAT_MS = 500;
const SILENCE_MS = 3 * HEARTBEAT_MS;
const AFTER_ERROR_MS = 200;

/** What a pull tells. */
export interface PullEvents {
  onMessage(message: Msg): void;
  /** The server refuses, or nobody answers: perhaps the consumer is gone. */
  onTrouble(): void;
  /** Nothing is outstanding any more. */
  onEnd(): void;
}

/** Asks for entries, one request at a time. */
export interface NatsPull {
  /** Asks for about `entries`, unless a request is outstanding. */
  want(entries: number): void;
  /** No further entries; those on the way are still told. */
  close(): Promise<void>;
}

/**
 * Opens the pull of one reader. A request stays outstanding until the server ends it: one ended early would
 * strand redeliveries. The server shows by heartbeats that it still knows the request; on silence, or a new
 * connection, it is asked again.
 */
export function openNatsPull(link: NatsLink, stream: string, group: string, events: PullEvents): NatsPull {
  const subject = createSubject();
  const request = `$JS.API.CONSUMER.MSG.NEXT.${natsName(stream)}.${natsName(group)}`;
  let number = 0;
  let left = 0;
  let epoch = 0;
  let aliveUntilMs = 0;
  let notBeforeMs = 0;

  function take(message: Msg): void {
    const code = message.headers?.code ?? 0;
    if (code < 100 || message.data.length > 0) {
      left--;
      events.onMessage(message);
      return;
    }
    // Of an earlier request that was given up.
    if (message.subject !== `${subject}.${number}`) return;
    if (code < 200) {
      aliveUntilMs = performance.now() + SILENCE_MS;
      return;
    }
    left = 0;
    if (code !== 404 && code !== 408) {
      notBeforeMs = performance.now() + AFTER_ERROR_MS;
      events.onTrouble();
    }
    events.onEnd();
  }

  const subscription = link.nc.subscribe(`${subject}.*`, {
    callback: (error, message) => {
      if (!error) take(message);
    },
  });

  return {
    want(entries) {
      const now = performance.now();
      if (!link.connected() || now < notBeforeMs) return;
      if (left > 0 && epoch === link.epoch()) {
        if (now < aliveUntilMs) return;
        events.onTrouble();
      }
      epoch = link.epoch();
      left = entries;
      aliveUntilMs = now + SILENCE_MS;
      const options = { batch: left, expires: nanos(EXPIRES_MS), idle_heartbeat: nanos(HEARTBEAT_MS) };
      link.nc.publish(request, JSON.stringify(options), { reply: `${subject}.${++number}` });
    },
    async close() {
      // What arrived before the server knew is told before this resolves.
      await subscription.drain().catch(() => undefined);
    },
  };
}
