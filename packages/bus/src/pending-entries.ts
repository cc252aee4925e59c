/** An entry that was delivered to a consumer and is not acknowledged. */
export interface PendingEntry {
  id: string;
  consumer: string;
  /** Messages in it; 0 where it is gone from the stream. */
  messages: number;
  /** Since it was appended. */
  ageMs: number;
  /** Since its consumer last showed that it works on it. */
  idleMs: number;
  /** How often it was delivered. */
  attempts: number;
}

/** What an operator may see and do about entries that somebody has in hand. */
export interface PendingEntries {
  /** Up to `count` of a group's pending entries in order, after the id `after`, of one consumer where named. */
  list(
    stream: string,
    group: string,
    options: { count: number; after?: string | undefined; consumer?: string | undefined },
  ): Promise<PendingEntry[]>;
  /**
   * Takes entries out of the hands of their consumers, so that whoever of the group lives takes them over at once
   * instead of after the usual wait. One that is being worked on is delivered twice by this, and stored once. Resolves
   * with the ids that were pending.
   */
  takeAway(stream: string, group: string, ids: readonly string[]): Promise<string[]>;
}
