import type { Bus } from "@sluice/bus";
import { OUTCOMES_GROUP, Outcome, type Resource, streamKey } from "@sluice/shared-types";
import { followStream } from "./follow-stream.ts";
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

const BUSY_MS = 20;
const IDLE_MS = 100;

/** Follows the outcomes stream from now on. Every gateway reads all of it and keeps what is its own. */
export async function openOutcomes(bus: Bus, instance: string, log: Log): Promise<Outcomes> {
  const waiters = new Map<string, (outcome: Outcome) => void>();
  let listener = (_outcome: Outcome) => {};
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
  const following = await followStream(bus, {
    stream: streamKey("outcomes"),
    group: OUTCOMES_GROUP,
    onMessage: tell,
    pauseMs: (found) => (found || waiters.size > 0 ? BUSY_MS : IDLE_MS),
  });
  return {
    ...following,
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
  };
}
