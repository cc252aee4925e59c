import { OutageError } from "@sluice/shared-types";
import type { Admission } from "./admission.ts";
import type { Appender, Slot } from "./appender.ts";

/** Held for want of room; beyond it appends are refused at once. */
const MAX_HELD_BYTES = 96 * 1024 * 1024;

/**
 * An appender that appends only what `admission` lets in. What is held keeps its order and the times it was given on
 * arrival, and counts as waiting, so that connections stop reading; nobody is told of it before it is durable.
 */
export function gateAppends(append: Appender, admission: Pick<Admission, "open" | "wait">): Appender {
  const holding = new Set<Promise<unknown>>();
  let messages = 0;
  let bytes = 0;

  const hold = (stream: string, text: string): Slot => {
    if (bytes > MAX_HELD_BYTES) {
      return { ids: Promise.reject(new OutageError("gateway", "too much waits for room", 5_000)), index: 0 };
    }
    messages++;
    bytes += text.length;
    const ids: Promise<readonly string[]> = admission
      .wait(text.length)
      .finally(() => {
        messages--;
        bytes -= text.length;
      })
      .then(async () => [await append.add(stream, text)]);
    holding.add(ids);
    ids.catch(() => {}).finally(() => holding.delete(ids));
    return { ids, index: 0 };
  };
  const put = (stream: string, text: string): Slot =>
    admission.open ? append.put(stream, text) : hold(stream, text);

  return {
    put,
    add: (stream, text) => {
      const { ids, index } = put(stream, text);
      return ids.then((all) => all[index] ?? "");
    },
    waiting: () => {
      const appending = append.waiting();
      return { messages: appending.messages + messages, bytes: appending.bytes + bytes };
    },
    settled: async () => {
      await Promise.allSettled(holding);
      await append.settled();
    },
  };
}
