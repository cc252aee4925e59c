/** Something opened that has to be closed: a server connection, a listener. */
export interface Resource {
  /** Resolves when it can serve now; rejects naming what is wrong. */
  ping(): Promise<void>;
  /** Finishes what is under way, then releases everything. Safe to call twice. */
  close(): Promise<void>;
}
