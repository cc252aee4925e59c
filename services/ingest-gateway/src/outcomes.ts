import { setTimeout as delay } from "node:timers/promises";
import type { Bus } from "@sluice/bus";
import { OUTCOMES_GROUP, OutageError, Outcome, type Resource, streamKey } from "@sluice/shared-types";
import type { Log } from "./log.ts";

/** Hears from the workers what became of messages. */
export interface Outcomes extends Resource {
  /** Name under which the outcomes of this gateway are told; goes into `Envelope.notify`. */
  readonly instance: string;
  /** Resolves with the outcome told under `reference`, or undefined after `timeoutMs`. */
  wait(reference: string, timeoutMs: number): Promise<Outcome | undefined>;
  /** Calls `listener` for outcomes told to the instance itself: of devices that want to know. */
  onDevice(listener: (outcome: Outcome) => void): void;
}

const STREAM = streamKey("outcomes");
const BUSY_MS = 20;
const IDLE_MS = 500;
const PAGE = 500;

/** Follows the outcomes stream from now on. Every gateway reads all of it and keeps what is its own. */
export async function openOutcomes(bus: Bus, instance: string, log: Log): Promise<Outcomes> {
  const waiters = new Map<string, (outcome: Outcome) => void>();
  let listener = (_outcome: Outcome) => {};
  const stop = new AbortController();
  let failing: Error | undefined;
  await bus.ensureGroup(STREAM, OUTCOMES_GROUP);
  const [last] = await bus.browse(STREAM, { from: "+", count: 1, reverse: true });
  let lastId = last?.id;
  // The group's only purpose is that what has been told can be trimmed: all gateways share one consumer.
  const reader = await bus.reader({ stream: STREAM, group: OUTCOMES_GROUP, consumer: OUTCOMES_GROUP });

  const tell = (message: string) => {
    let outcome: Outcome;
    try {
      outcome = Outcome.parse(JSON.parse(message));
    } catch (error) {
      return log.warn({ err: error }, "an outcome cannot be read");
    }
    if (outcome.notify === instance) return listener(outcome);
    if (outcome.notify.startsWith(`${instance}/`)) waiters.get(outcome.notify)?.(outcome);
  };
  const step = async (): Promise<boolean> => {
    const entries = await bus.browse(STREAM, { from: lastId ?? "-", count: PAGE });
    const fresh = entries.filter((entry) => entry.id !== lastId);
    for (const entry of fresh) for (const message of entry.messages) tell(message);
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
      let busy = false;
      try {
        busy = await step();
        failing = undefined;
      } catch (error) {
        if (!(error instanceof OutageError)) throw error;
        failing = error;
      }
      const waitMs = busy || waiters.size > 0 ? BUSY_MS : IDLE_MS / 5;
      await delay(failing ? IDLE_MS : waitMs, undefined, { signal: stop.signal }).catch(() => {});
    }
  };
  const running = loop();

  return {
    instance,
    onDevice: (next) => {
      listener = next;
    },
    wait: (reference, timeoutMs) =>
      new Promise((resolve) => {
        const finish = (outcome?: Outcome) => {
          clearTimeout(timer);
          waiters.delete(reference);
          resolve(outcome);
        };
        const timer = setTimeout(finish, timeoutMs);
        waiters.set(reference, finish);
      }),
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
