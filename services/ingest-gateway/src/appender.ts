import type { Bus } from "@sluice/bus";
import { OutageError } from "@sluice/shared-types";

/** Appends single messages; those of one turn of the event loop go to the bus together. */
export interface Appender {
  /** Resolves with the message's id once it is durable; rejects with OutageError where it could not be appended. */
  add(stream: string, message: string): Promise<string>;
  /** The same for the hot path: the ids of the batch it goes with, and its place there; one promise for all. */
  put(stream: string, message: string): Slot;
  /** What was added and is not durable yet. */
  waiting(): { messages: number; bytes: number };
  /** Resolves when everything added so far is settled. */
  settled(): Promise<void>;
}

/** Place of a message in a batch. */
export interface Slot {
  ids: Promise<readonly string[]>;
  index: number;
}

/** Told of every append: how many messages, and how long the first of them waited. */
export type AppendObserver = (stream: string, messages: number, seconds: number) => void;

interface Batch {
  texts: string[];
  bytes: number;
  sinceMs: number;
  ids: Promise<readonly string[]>;
  resolve(ids: readonly string[]): void;
  reject(error: unknown): void;
}

/** Beyond this much waiting, whatever the connections do, nothing more is taken. */
const MAX_BYTES = 96 * 1024 * 1024;

/** Opens an appender on `bus`. Its memory is bounded: over 96 MB waiting it refuses. */
export function createAppender(bus: Pick<Bus, "publish">, observe: AppendObserver): Appender {
  const batches = new Map<string, Batch>();
  const underWay = new Set<Promise<unknown>>();
  let messages = 0;
  let bytes = 0;
  let scheduled = false;

  const flush = () => {
    scheduled = false;
    for (const [stream, batch] of batches) send(stream, batch);
    batches.clear();
  };
  const send = (stream: string, batch: Batch) => {
    const sent: Promise<void> = bus
      .publish(stream, batch.texts)
      .then(
        (ids) => {
          observe(stream, ids.length, (performance.now() - batch.sinceMs) / 1000);
          batch.resolve(ids);
        },
        (error: unknown) => {
          batch.reject(error);
        },
      )
      .finally(() => {
        messages -= batch.texts.length;
        bytes -= batch.bytes;
        underWay.delete(sent);
      });
    underWay.add(sent);
  };

  const put = (stream: string, text: string): Slot => {
    if (bytes > MAX_BYTES) {
      const full = new OutageError("gateway", "too much waits to be appended", 1000);
      return { ids: Promise.reject(full), index: 0 };
    }
    let batch = batches.get(stream);
    if (!batch) {
      batch = createBatch();
      batches.set(stream, batch);
    }
    const index = batch.texts.push(text) - 1;
    batch.bytes += text.length;
    messages++;
    bytes += text.length;
    if (!scheduled) {
      scheduled = true;
      setImmediate(flush);
    }
    return { ids: batch.ids, index };
  };

  return {
    put,
    add(stream, text) {
      const { ids, index } = put(stream, text);
      return ids.then((all) => all[index] ?? "");
    },
    waiting: () => ({ messages, bytes }),
    settled: async () => {
      if (scheduled) flush();
      await Promise.all(underWay);
    },
  };
}

function createBatch(): Batch {
  const parts = { resolve: (_ids: readonly string[]) => {}, reject: (_error: unknown) => {} };
  const ids = new Promise<readonly string[]>((resolve, reject) => {
    parts.resolve = resolve;
    parts.reject = reject;
  });
  ids.catch(() => {}); // each message has its own handler; the batch itself need not be awaited
  return { texts: [], bytes: 0, sinceMs: performance.now(), ids, ...parts };
}
