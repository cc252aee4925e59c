import type { Msg } from "nats";
import type { Entry, EntryOutcome, LostRange, Reader, ReaderOptions } from "./bus.ts";
import { createInbox } from "./inbox.ts";
import { ensureNatsGroup, RECLAIM_AFTER_MS } from "./nats-group.ts";
import { changeRecord, countOutcomes, readRecord } from "./nats-ledger.ts";
import { openNatsPull } from "./nats-pull.ts";
import {
  classifyNats,
  isMisplaced,
  type NatsLink,
  natsFailureOf,
  natsName,
  toNatsEntry,
} from "./nats-stream.ts";
import { createUnconfirmed } from "./nats-unconfirmed.ts";
import { startNatsUpkeep } from "./nats-upkeep.ts";
import { overlaps, type Ranges } from "./ordinal-ranges.ts";
import { findRange } from "./redis-keys.ts";
import type { TrimPolicy } from "./trim-policy.ts";

const LOOK_AGAIN_MS = 100;

/** Which delivery of which entry: `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<sequence>.…` */
function deliveryOf(reply: string): { deliveryCount: number; streamSequence: number } {
  const tokens = reply.split(".");
  const at = tokens.length > 9 ? 6 : 4;
  return { deliveryCount: Number(tokens[at]), streamSequence: Number(tokens[at + 1]) };
}

function say(message: Msg | undefined, word: "+ACK" | "-NAK" | "+WPI"): void {
  message?.respond(word);
}

/**
 * Opens a reader. JetStream delivers and redelivers; whether an entry has counted is decided by the ledger alone. So
 * nothing depends on an acknowledgement arriving: it only spares a redelivery, and one that has counted is
 * acknowledged again without being handed out. JetStream knows groups, not consumers: an entry nobody refreshes
 * for `reclaimAfterMs` goes to whoever pulls.
 */
export async function openNatsReader(
  link: NatsLink,
  options: ReaderOptions,
  trim: TrimPolicy,
): Promise<Reader> {
  const { stream, group, reclaimAfterMs = RECLAIM_AFTER_MS } = options;
  const { nc } = link;
  const inbox = createInbox();
  const messages = new Map<string, Msg>();
  /** Counted by acknowledgements of which no answer came; they may have. */
  const unsure = new Set<string>();
  const unconfirmed = createUnconfirmed();
  let counted: Ranges = [];
  let perEntry = 128;
  let failure: unknown;
  let found: LostRange[] = [];
  let closing: Promise<void> | undefined;
  let arrivals = Promise.resolve();

  await ensureNatsGroup(link, stream, group, reclaimAfterMs);
  const upkeep = await startNatsUpkeep(link, stream, group, {
    trim,
    reclaimAfterMs,
    confirm: async () => {
      if (unconfirmed.size() > 0) await count([]);
    },
    refresh: () => {
      for (const id of inbox.ids()) say(messages.get(id), "+WPI");
    },
    onFindings({ lost, forgotten }) {
      found.push(...lost);
      const open = forgotten.filter((entry) => !hasCounted(entry));
      if (open.length > 0 && !closing) inbox.push(open);
    },
    onFailure: (error) => {
      failure ??= error;
    },
  });
  const pull = openNatsPull(link, stream, group, {
    onMessage: (message) => {
      arrivals = arrivals
        .then(() => receive(message))
        .catch((error) => {
          failure ??= error;
        });
    },
    onTrouble: upkeep.suspectGroup,
    onEnd: inbox.wake,
  });

  async function receive(message: Msg): Promise<void> {
    const { streamSequence, deliveryCount } = deliveryOf(message.reply ?? "");
    if (isMisplaced(streamSequence, message.headers)) return say(message, "+ACK");
    const entry = toNatsEntry(streamSequence, message.headers, message.data, deliveryCount);
    if (!inbox.has(entry.id)) {
      // The server may call a redelivery a first delivery, so what is known to have counted is always looked at.
      if (hasCounted(entry)) return say(message, "+ACK");
      if (deliveryCount > 1) {
        const known = await refreshCounted();
        if (hasCounted(entry)) return say(message, "+ACK");
        // Unknown: left to be delivered again.
        if (!known) return;
      }
    }
    perEntry = Math.max(1, perEntry * 0.9 + entry.messages.length * 0.1);
    messages.set(entry.id, message);
    inbox.push([entry]);
  }

  function hasCounted({ id }: Entry): boolean {
    const range = findRange(id);
    return range !== undefined && overlaps(counted, range.from, range.to);
  }

  async function refreshCounted(): Promise<boolean> {
    try {
      const now = await readRecord(link, stream, group);
      if (now) counted = now.record.counted;
      return true;
    } catch (error) {
      if (natsFailureOf(error) === "bug") throw error;
      return false;
    }
  }

  async function read(maxMessages: number, waitMs: number): Promise<Entry[]> {
    const endMs = performance.now() + waitMs;
    for (;;) {
      if (closing) return [];
      if (failure !== undefined) {
        const error = failure;
        failure = undefined;
        throw classifyNats(error);
      }
      const entries = inbox.take(maxMessages);
      const leftMs = endMs - performance.now();
      if (entries.length > 0 || leftMs <= 0) return entries;
      pull.want(Math.max(1, Math.min(1_000, Math.ceil(maxMessages / perEntry))));
      await arrivalWithin(Math.min(leftMs, LOOK_AGAIN_MS));
    }
  }

  async function arrivalWithin(ms: number): Promise<void> {
    const timer = setTimeout(inbox.wake, ms);
    await inbox.arrival();
    clearTimeout(timer);
  }

  async function ack(outcomes: readonly EntryOutcome[]): Promise<string[]> {
    if (outcomes.length === 0) return [];
    const mine = await count(outcomes).catch((error: unknown) => {
      throw classifyNats(error);
    });
    for (const { id } of outcomes) say(messages.get(id), "+ACK");
    forget(outcomes.map(({ id }) => id));
    return mine;
  }

  /** Counts `outcomes`, and those of before that were overwritten; gives which of `outcomes` count by this reader. */
  async function count(outcomes: readonly EntryOutcome[]): Promise<string[]> {
    let again: EntryOutcome[] = [];
    let tried: string[] = [];
    try {
      const revision = await changeRecord(link, stream, group, (record, at) => {
        again = unconfirmed.check(record, at);
        const next = countOutcomes(record, [...again, ...outcomes]);
        counted = next.record.counted;
        tried = next.ids;
        return tried.length > 0 ? next.record : undefined;
      });
      const mine = outcomes.filter(({ id }) => tried.includes(id) || unsure.has(id));
      unconfirmed.add([...again.filter(({ id }) => tried.includes(id)), ...mine], revision);
      return mine.map(({ id }) => id);
    } catch (error) {
      for (const { id } of outcomes) if (tried.includes(id)) unsure.add(id);
      throw error;
    }
  }

  function forget(ids: readonly string[]): void {
    inbox.drop(ids);
    for (const id of ids) {
      messages.delete(id);
      unsure.delete(id);
    }
  }

  function release(ids: readonly string[]): void {
    for (const id of ids) say(messages.get(id), "-NAK");
    forget(ids);
  }

  async function close(): Promise<void> {
    inbox.wake();
    await upkeep.close();
    await pull.close();
    await arrivals;
    if (link.connected()) {
      // Makes the server forget our last request first: it takes what is given back away from the others.
      await link.ask(() => link.jsm.consumers.info(natsName(stream), natsName(group))).catch(() => undefined);
      release(inbox.ids());
      await nc.flush().catch(() => undefined);
    }
  }

  return {
    read,
    ack,
    release,
    losses() {
      const ranges = found;
      found = [];
      return ranges;
    },
    close() {
      closing ??= close();
      return closing;
    },
  };
}
