import type { InvalidInputError } from "@sluice/shared-types";
import { waitFor } from "@sluice/testkit";
import {
  type Bus,
  type ConsumeOptions,
  consume,
  type Entry,
  type EntryOutcome,
  type LostRange,
} from "../src/index.ts";

/** A consumer that runs in the background and remembers what it stored. */
export interface Consumer {
  /** Messages handled and acknowledged as stored, in order of handling. */
  readonly stored: string[];
  /** Batches as they were given to the handler, failed ones too. */
  readonly batches: Entry[][];
  readonly quarantined: { messages: string[]; error: InvalidInputError }[];
  readonly lost: LostRange[];
  /** Sends the signal and waits for the end of consume. */
  stop(): Promise<void>;
  /** The end of consume. */
  readonly done: Promise<void>;
}

/** Options of {@link startConsumer}. */
export interface ConsumerSetup extends Partial<Omit<ConsumeOptions, "handle" | "signal">> {
  stream: string;
  group?: string;
  consumer?: string;
  reclaimAfterMs?: number;
  /** Before the messages count as stored; may throw. */
  work?(entries: readonly Entry[]): Promise<void> | void;
}

/** All messages of an entry have this fate. */
export function outcome(entry: Entry, fate: "stored" | "duplicate" | "quarantined" = "stored"): EntryOutcome {
  return { id: entry.id, stored: 0, duplicate: 0, quarantined: 0, [fate]: entry.messages.length };
}

/** Starts consuming; resolves once the reader is open. */
export async function startConsumer(bus: Bus, setup: ConsumerSetup): Promise<Consumer> {
  const { stream, group = "postgres", consumer = "c1", reclaimAfterMs, work, ...options } = setup;
  const reader = await bus.reader({ stream, group, consumer, ...(reclaimAfterMs ? { reclaimAfterMs } : {}) });
  const stop = new AbortController();
  const stored: string[] = [];
  const batches: Entry[][] = [];
  const quarantined: Consumer["quarantined"] = [];
  const lost: LostRange[] = [];
  const done = consume(reader, {
    maxMessages: 1_000,
    waitMs: 200,
    onLoss: (range) => lost.push(range),
    async quarantine(entry, error) {
      quarantined.push({ messages: entry.messages, error });
      return outcome(entry, "quarantined");
    },
    ...options,
    signal: stop.signal,
    async handle(entries) {
      batches.push([...entries]);
      await work?.(entries);
      for (const entry of entries) stored.push(...entry.messages);
      return entries.map((entry) => outcome(entry));
    },
  });
  done.catch(() => undefined);
  return {
    stored,
    batches,
    quarantined,
    lost,
    done,
    stop: () => {
      stop.abort();
      return done;
    },
  };
}

/** Waits until the group has nothing left and every message is accounted for; gives its line of the ledger. */
export function settled(bus: Bus, stream: string, accepted: number, group = "postgres") {
  return waitFor(
    async () => {
      const line = (await bus.ledger(stream)).find((g) => g.group === group);
      if (line?.balanced && line.accepted === accepted && line.pending === 0 && line.unread === 0)
        return line;
      throw new Error(JSON.stringify(line));
    },
    { what: `${group} to have settled ${accepted} messages`, timeoutMs: 25_000 },
  );
}
