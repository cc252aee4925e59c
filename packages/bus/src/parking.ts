import type { Entry, EntryOutcome } from "./bus.ts";

/**
 * Takes entries that a lagging group still needs out of the stream, so that a dead sink cannot fill the server.
 * The caller keeps them elsewhere first, under a name of its choice, and processes them from there when the sink
 * is back. In the ledger they are `parked` meanwhile.
 */
export interface Parking {
  /**
   * The oldest entries that `group` needs and `after` has acknowledged, up to `maxBytes` (at least one, where there
   * is any), and not younger than `minAgeMs`.
   */
  find(stream: string, group: string, options: FindParkable): Promise<Entry[]>;
  /**
   * Takes `ids` away from the group in one atomic step: false, with nothing done, where it has settled one of them
   * meanwhile or they are not the next ones. What is kept of them must be durable before.
   */
  park(stream: string, group: string, name: string, ids: readonly string[]): Promise<boolean>;
  /** Counts what became of the entries parked under `name`; false where that was counted before. */
  unpark(stream: string, group: string, name: string, outcome: Omit<EntryOutcome, "id">): Promise<boolean>;
  /** Names under which entries of the group are parked, with how many messages. */
  list(stream: string, group: string): Promise<ReadonlyMap<string, number>>;
  /** Removes what every group has acknowledged, but for the last `keepMs`. */
  trim(stream: string, keepMs: number): Promise<void>;
}

/** See {@link Parking.find}. */
export interface FindParkable {
  after: string;
  maxBytes: number;
  minAgeMs: number;
}
