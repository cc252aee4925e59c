import { OutageError } from "@sluice/shared-types";

/** How long a publish that was never sent waits for the server before it is refused. */
export const QUEUE_WAIT_MS = 5_000;
/** Held for appends that wait; beyond it publish refuses. */
const QUEUE_BYTES = 64 * 1024 * 1024;
const SWEEP_MS = 1_000;

/** A publish that waits for its append. */
export interface Call {
  readonly messages: readonly string[];
  readonly bytes: number;
  readonly queuedMs: number;
  resolve(ids: string[]): void;
  reject(error: unknown): void;
}

/** Publishes of one stream that wait to be appended, in their order: bounded in bytes and in time. */
export interface PublishQueue {
  /** Resolves with what the append gives it. @throws OutageError where too much waits, or it has waited too long */
  add(messages: readonly string[]): Promise<string[]>;
  /** Takes the first calls that fit into these bounds together, at least one where there is any. */
  take(mostMessages: number, mostBytes: number): Call[];
  size(): number;
  /** Refuses what has waited too long. Happens by itself, too. */
  expire(): void;
  /** Refuses what waits, and all that comes. */
  close(): void;
}

/** Creates it for a `server`; `onAdd` is called for every publish. */
export function createPublishQueue(server: "redis" | "nats", onAdd: () => void): PublishQueue {
  let calls: Call[] = [];
  let bytes = 0;
  let closed = false;
  const refuse = (refused: readonly Call[], why: string, retryAfterMs?: number) => {
    for (const call of refused) {
      bytes -= call.bytes;
      call.reject(new OutageError(server, why, retryAfterMs));
    }
  };
  const expire = () => {
    const since = Date.now() - QUEUE_WAIT_MS;
    const old = calls.filter((call) => call.queuedMs < since);
    if (old.length === 0) return;
    calls = calls.filter((call) => call.queuedMs >= since);
    refuse(old, `${server} does not take the append`, 1_000);
  };
  const sweep = setInterval(expire, SWEEP_MS);
  sweep.unref();
  return {
    add(messages) {
      if (messages.length === 0) return Promise.resolve([]);
      if (closed) return Promise.reject(new OutageError(server, "the bus is closed"));
      if (bytes > QUEUE_BYTES) return Promise.reject(new OutageError(server, "too many appends wait", 1_000));
      let length = 0;
      for (const message of messages) length += message.length;
      return new Promise((resolve, reject) => {
        calls.push({ messages, bytes: length, queuedMs: Date.now(), resolve, reject });
        bytes += length;
        onAdd();
      });
    },
    take(mostMessages, mostBytes) {
      let messages = 0;
      let size = 0;
      let taken = 0;
      for (const call of calls) {
        messages += call.messages.length;
        size += call.bytes;
        if (taken > 0 && (messages > mostMessages || size > mostBytes)) break;
        bytes -= call.bytes;
        taken++;
      }
      const first = calls.slice(0, taken);
      calls = taken === calls.length ? [] : calls.slice(taken);
      return first;
    },
    size: () => calls.length,
    expire,
    close() {
      closed = true;
      clearInterval(sweep);
      const left = calls;
      calls = [];
      refuse(left, "the bus was closed");
    },
  };
}
