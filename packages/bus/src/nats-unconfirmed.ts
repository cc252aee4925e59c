import type { EntryOutcome } from "./bus.ts";
import type { GroupRecord } from "./nats-ledger.ts";
import { overlaps } from "./ordinal-ranges.ts";
import { findRange } from "./redis-keys.ts";

/** Outcomes that were counted, as the server said, and have not been seen in the ledger since. */
export interface Unconfirmed {
  /** They are in the record of `revision`, if nobody overwrote it. */
  add(outcomes: readonly EntryOutcome[], revision: number): void;
  /** Looks at a record; what a later one has is settled. Gives those that are not settled. */
  check(record: GroupRecord, revision: number): EntryOutcome[];
  size(): number;
}

/** After so long nobody is under way any more who had not seen it. */
const SETTLED_MS = 5_000;

/**
 * Of two changes that expect the same revision and are on their way at once a cluster may take both, and the later one
 * undoes the earlier ({@link isMisplaced} says why). So every reader remembers what it counted until it has seen it in a
 * record that somebody made of its own, and counts it again where it is missing: counting twice is counting once.
 */
export function createUnconfirmed(): Unconfirmed {
  const open = new Map<string, { outcome: EntryOutcome; revision: number; sinceMs: number }>();
  return {
    add(outcomes, revision) {
      const sinceMs = performance.now();
      for (const outcome of outcomes)
        if (findRange(outcome.id)) open.set(outcome.id, { outcome, revision, sinceMs });
    },
    check(record, revision) {
      for (const [id, one] of open) {
        const range = findRange(id);
        const there = range !== undefined && overlaps(record.counted, range.from, range.to);
        const later = revision > one.revision || performance.now() - one.sinceMs > SETTLED_MS;
        if (there && later) open.delete(id);
      }
      return [...open.values()].map(({ outcome }) => outcome);
    },
    size: () => open.size,
  };
}
