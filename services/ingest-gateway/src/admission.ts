import type { Bus } from "@sluice/bus";
import { OutageError, type Resource } from "@sluice/shared-types";
import type { Log } from "./log.ts";

/** Lets messages in while the bus has room, and holds or refuses them before it is full. */
export interface Admission extends Resource {
  /** Whether messages pass freely now. */
  readonly open: boolean;
  /**
   * Resolves when the message may go on, in the order of asking. Rejects with OutageError after thirty seconds:
   * then its sender must not be told that it was kept.
   */
  wait(bytes: number): Promise<void>;
  /** Seconds after which it is worth asking again. */
  readonly retryAfterS: number;
}

/** When to hold. */
export interface AdmissionOptions {
  /** Share of the server's memory limit from which on nothing more is let in. */
  highWater: number;
  everyMs?: number;
  log: Log;
}

interface Held {
  bytes: number;
  untilMs: number;
  resolve(): void;
  reject(error: Error): void;
}

const EVERY_MS = 200;
const HOLD_MS = 30_000;
const RETRY_AFTER_S = 5;
/** Of the high-water mark: below it messages are let in again. */
const LOW_SHARE = 0.9;
/** Of the memory limit: as much as is let in at a time after it was closed. */
const STEP_SHARE = 0.02;

/** Follows the memory of the bus. Without a limit there, or an answer, everything is let in. The caller closes it. */
export function openAdmission(bus: Pick<Bus, "room">, options: AdmissionOptions): Admission {
  const { highWater, log } = options;
  let closed = false;
  let held: Held[] = [];
  let looking = false;

  const look = async () => {
    const { usedBytes, maxBytes } = await bus.room();
    if (usedBytes === null || maxBytes === null) return letIn(Number.POSITIVE_INFINITY);
    const share = usedBytes / maxBytes;
    if (!closed && share >= highWater) {
      closed = true;
      log.warn({ usedBytes, maxBytes, highWater }, "the bus is filling up: nothing more is let in");
    } else if (closed && share < highWater * LOW_SHARE) {
      closed = false;
      log.info({ usedBytes, maxBytes }, "the bus has room again");
    }
    if (!closed) letIn(maxBytes * STEP_SHARE);
  };
  const letIn = (bytes: number) => {
    closed = false;
    let count = 0;
    for (let left = bytes; count < held.length && left > 0; count++) left -= held[count]?.bytes ?? 0;
    for (const { resolve } of held.splice(0, count)) resolve();
  };
  const expire = () => {
    const nowMs = Date.now();
    const late = held.findIndex(({ untilMs }) => untilMs > nowMs);
    const gone = held.splice(0, late === -1 ? held.length : late);
    const full = new OutageError("bus", "the bus is full and did not drain in time", RETRY_AFTER_S * 1000);
    for (const { reject } of gone) reject(full);
  };
  const timer = setInterval(() => {
    if (held.length > 0) expire();
    if (looking) return;
    looking = true;
    look()
      .catch((error: unknown) => {
        // The append itself will tell.
        if (!(error instanceof OutageError)) throw error;
      })
      .finally(() => {
        looking = false;
      });
  }, options.everyMs ?? EVERY_MS);

  return {
    get open() {
      return !closed && held.length === 0;
    },
    retryAfterS: RETRY_AFTER_S,
    wait: (bytes) =>
      new Promise((resolve, reject) => {
        held.push({ bytes, untilMs: Date.now() + HOLD_MS, resolve, reject });
      }),
    ping: async () => {},
    close: async () => {
      clearInterval(timer);
      const left = held;
      held = [];
      for (const { reject } of left) reject(new OutageError("bus", "the gateway stops"));
    },
  };
}
