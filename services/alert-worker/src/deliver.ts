import { setTimeout as delay } from "node:timers/promises";
import { type Db, type Log, type Notification, noteFailed, noteSent, takeNotifications } from "@sluice/db";
import { OutageError } from "@sluice/shared-types";
import type { AlertMetrics } from "./metrics.ts";

/** Sends notifications of one kind of channel. Rejects where it is not certain that the receiver has it. */
export type Send = (notification: Notification) => Promise<void>;
/** One for every kind of channel. */
export type Senders = Record<Notification["channel"]["kind"], Send>;

const IDLE_MS = 1_000;
const AT_ONCE = 10;
/** Longer than any sender takes: after this another process may try. */
const HOLD_MS = 60_000;
const FIRST_RETRY_MS = 5_000;
const LONGEST_RETRY_MS = 3_600_000;
/** With the pauses in between: for about a day. */
const MOST_ATTEMPTS = 32;

/**
 * Sends what is in the outbox until the signal, however many processes do so: each notification is taken by one. A
 * sender that dies in between leaves it to be sent again, under the same key, by which receivers can tell.
 */
export async function deliver(
  db: Db,
  senders: Senders,
  { signal, log, metrics }: { signal: AbortSignal; log: Log; metrics: AlertMetrics },
): Promise<void> {
  while (!signal.aborted) {
    try {
      const taken = await takeNotifications(db, AT_ONCE, HOLD_MS);
      await Promise.all(taken.map((one) => sendOne(db, senders, one, { log, metrics })));
      if (taken.length > 0) continue;
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
      log.debug({ err: error }, "the outbox cannot be read now");
    }
    await delay(IDLE_MS, undefined, { signal }).catch(() => {});
  }
}

async function sendOne(
  db: Db,
  senders: Senders,
  notification: Notification,
  { log, metrics }: { log: Log; metrics: AlertMetrics },
): Promise<void> {
  const { id, channel, attempts } = notification;
  const failure = await senders[channel.kind](notification).then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
  );
  if (!failure) {
    metrics.notified(channel.name, "sent");
    return noteSent(db, id);
  }
  const giveUp = attempts + 1 >= MOST_ATTEMPTS;
  metrics.notified(channel.name, giveUp ? "failed" : "retry");
  const say = giveUp || attempts === 0 ? log.warn : log.debug;
  const { name } = channel;
  say.call(
    log,
    { channel: name, notification: id, attempts, error: failure.message },
    "a notification was not sent",
  );
  return noteFailed(db, id, failure.message, giveUp ? undefined : retryMs(attempts));
}

/** Grows from seconds to an hour, never quite the same: many that failed together do not come back together. */
function retryMs(attempts: number): number {
  return Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempts) * (0.75 + Math.random() / 4);
}
