/** What is kept of entries that every group has acknowledged: for repeated packets, tail and trace. */
export interface TrimPolicy {
  everyMs: number;
  /** Entries younger than this stay, */
  keepMs: number;
  /** but of these at most about this many messages. */
  keepMessages: number;
}

/** The last minute, at most about 100,000 messages, looked at every five seconds. */
export const DEFAULT_TRIM: TrimPolicy = { everyMs: 5_000, keepMs: 60_000, keepMessages: 100_000 };
