import type { Resource } from "@sluice/shared-types";
import type { Parking } from "./parking.ts";
import type { PendingEntries } from "./pending-entries.ts";

/**
 * A durable log of messages with consumer groups. Messages travel packed, several in one entry, so that one
 * append and one fsync carry many; everything that is counted or named is still counted per message.
 * A message's id is `<entry id>#<index in the entry>`.
 */
export interface Bus extends Resource {
  /**
   * Appends `messages` in order, and counts them as accepted in the same atomic step. Resolves with their ids
   * once they are durable. An append whose outcome is unknown (connection cut) is retried under the same
   * producer sequence, so it happens once. Rejects with OutageError when the bus is full or refuses; then
   * nothing of it was appended.
   */
  publish(stream: string, messages: readonly string[]): Promise<string[]>;
  /** Makes sure `group` exists on `stream`, from its first entry. Without a group nothing is held for it. */
  ensureGroup(stream: string, group: string): Promise<void>;
  /** Opens a reader on a connection of its own. */
  reader(options: ReaderOptions): Promise<Reader>;
  /** Numbers of every group of a stream, as the server has them. */
  lag(stream: string): Promise<StreamLag>;
  /** Balance of every group of a stream. */
  ledger(stream: string): Promise<GroupLedger[]>;
  /** Entries in order from `from` (inclusive id, `-` for the first, or `$` for only new ones): for tail and trace. */
  browse(stream: string, options: BrowseOptions): Promise<Entry[]>;
  /** Memory of the server. */
  room(): Promise<Room>;
  /**
   * Lets an empty stream count on from `accepted`, after a restore: false, with nothing done, where it has counted
   * anything already. Before any group is made, which then begins there too.
   */
  resume(stream: string, accepted: number): Promise<boolean>;
  /** Where an entry is in every group; none where the server cannot say. */
  fates(stream: string, id: string): Promise<EntryFate[]>;
  /** Takes what a group is behind with out of memory; missing where streams are on disk anyway. */
  readonly parking?: Parking;
  /** Entries in the hands of consumers; missing where the server does not tell them apart. */
  readonly pending?: PendingEntries;
}

/** Bytes used, and the limit at which appends are refused; null where the server has none or does not say. */
export interface Room {
  usedBytes: number | null;
  maxBytes: number | null;
}

/** Where an entry is in a group: `settled` is acknowledged, or parked. */
export interface EntryFate {
  group: string;
  state: "unread" | "pending" | "settled";
}

export interface ReaderOptions {
  stream: string;
  group: string;
  /** Name of this consumer, unique among the living; its pending entries are read first after a restart. */
  consumer: string;
  /** After how long another consumer's pending entry may be taken over. */
  reclaimAfterMs?: number;
}

export interface BrowseOptions {
  from: string;
  count: number;
  reverse?: boolean;
}

/** One appended unit. */
export interface Entry {
  id: string;
  /**
   * Position of its first message among all messages ever accepted on the stream, from 1: a jump is a loss.
   * 0 where somebody else appended it by hand; its one message is then its fields as a JSON object.
   */
  ordinal: number;
  /** How often it was delivered to anybody, this time included; 0 from {@link Bus.browse}. */
  attempts: number;
  messages: string[];
}

/** What became of the messages of an entry. The three counts add up to its length. */
export interface EntryOutcome {
  id: string;
  stored: number;
  duplicate: number;
  quarantined: number;
}

/** Reads for one consumer of one group. */
export interface Reader {
  /**
   * Up to `maxMessages` messages (at least one entry), waiting up to `waitMs` for the first. Own pending
   * entries come first, then entries abandoned by others, then new ones. An entry it has handed out is not
   * handed out again by this reader until it is released, however long that takes.
   */
  read(maxMessages: number, waitMs: number): Promise<Entry[]>;
  /**
   * Acknowledges entries and counts their outcomes in one atomic step; an entry that was acknowledged before
   * counts nothing. Resolves with the ids that counted.
   */
  ack(outcomes: readonly EntryOutcome[]): Promise<string[]>;
  /** Gives entries back unprocessed: they are delivered again, to this reader or another. */
  release(ids: readonly string[]): void;
  /** Losses seen since the last call: messages that were accepted but are not there any more. */
  losses(): LostRange[];
  /** Stops reading. Pending entries stay pending; a consumer without any is removed from the group. */
  close(): Promise<void>;
}

/** Messages accepted by the bus that vanished from it before this group had them. */
export interface LostRange {
  stream: string;
  group: string;
  /** Ordinals, inclusive. */
  from: number;
  to: number;
}

export interface StreamLag {
  stream: string;
  /** Entries and messages held. */
  entries: number;
  /** Messages accepted since the beginning. */
  accepted: number;
  /** Memory used and its limit in bytes; null where the server has none or does not say. */
  usedBytes: number | null;
  maxBytes: number | null;
  groups: GroupLag[];
}

export interface GroupLag {
  group: string;
  /** Messages not yet delivered to the group. */
  unread: number;
  /** Entries not yet delivered, as the server says (`XINFO GROUPS` lag); null where it does not know. */
  unreadEntries: number | null;
  /** Messages delivered and not acknowledged, and the entries they are in (`XPENDING`). */
  pending: number;
  pendingEntries: number;
  /** Messages taken out of the stream for it because it was too far behind; see {@link Parking}. */
  parked: number;
  /** Age of the oldest pending entry since it was appended; null when there is none. */
  oldestPendingMs: number | null;
  lastDeliveredId: string;
  consumers: { name: string; pending: number; idleMs: number }[];
}

export interface GroupLedger {
  group: string;
  accepted: number;
  stored: number;
  duplicate: number;
  quarantined: number;
  pending: number;
  unread: number;
  /** Taken out of the stream, kept in the database, still to be processed; see {@link Parking}. */
  parked: number;
  /** Messages that are gone and were named by a reader; while there are any the balance does not hold. */
  lost: number;
  /** accepted = stored + duplicate + quarantined + pending + unread + parked */
  balanced: boolean;
}
