import type { Entry } from "./bus.ts";

/** What one reader has fetched: waiting to be handed out, in hand, or given back. */
export interface Inbox {
  /** Entries that were delivered to this reader; those it has already are skipped. */
  push(entries: readonly Entry[]): void;
  /** Hands out up to `maxMessages` messages, at least one entry if there is any. */
  take(maxMessages: number): Entry[];
  /** Resolves at the next push. */
  arrival(): Promise<void>;
  wake(): void;
  /** Entries in hand are given back; {@link Inbox.takeReleased} tells them once. */
  release(ids: readonly string[]): void;
  takeReleased(): Entry[];
  /** These are settled, or somebody else's now. */
  drop(ids: readonly string[]): void;
  has(id: string): boolean;
  /** In hand, and appended by others: such an entry has no ordinal. */
  isForeign(id: string): boolean;
  /** Everything that is waiting, in hand or given back. */
  ids(): string[];
  waiting(): number;
}

/** See {@link Inbox}. */
export function createInbox(): Inbox {
  let ready: Entry[] = [];
  const hand = new Map<string, Entry>();
  const held = new Set<string>();
  let released: Entry[] = [];
  let wakers: (() => void)[] = [];

  function wake(): void {
    const all = wakers;
    wakers = [];
    for (const waker of all) waker();
  }

  return {
    push(entries) {
      for (const entry of entries) {
        if (held.has(entry.id)) continue;
        held.add(entry.id);
        ready.push(entry);
      }
      wake();
    },
    take(maxMessages) {
      let messages = 0;
      let count = 0;
      for (const entry of ready) {
        messages += entry.messages.length;
        if (count > 0 && messages > maxMessages) break;
        count++;
      }
      const taken = ready.slice(0, count);
      ready = count === ready.length ? [] : ready.slice(count);
      for (const entry of taken) hand.set(entry.id, entry);
      return taken;
    },
    arrival: () => new Promise((resolve) => wakers.push(resolve)),
    wake,
    release(ids) {
      for (const id of ids) {
        const entry = hand.get(id);
        if (!entry) continue;
        hand.delete(id);
        released.push(entry);
      }
      wake();
    },
    takeReleased() {
      const entries = released;
      released = [];
      for (const { id } of entries) held.delete(id);
      return entries;
    },
    drop(ids) {
      for (const id of ids) {
        hand.delete(id);
        held.delete(id);
      }
      if (ready.length > 0) ready = ready.filter(({ id }) => held.has(id));
      if (released.length > 0) released = released.filter(({ id }) => held.has(id));
    },
    has: (id) => held.has(id),
    isForeign: (id) => hand.get(id)?.ordinal === 0,
    ids: () => [...held],
    waiting: () => ready.length,
  };
}
