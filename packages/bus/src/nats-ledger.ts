import type { EntryOutcome } from "./bus.ts";
import { ledgerKey, type NatsLink, natsFailureOf } from "./nats-stream.ts";
import { joinRanges, missingRanges, overlaps, type Ranges } from "./ordinal-ranges.ts";
import { findRange } from "./redis-keys.ts";

/**
 * The ledger of a group: one value in a JetStream key-value bucket, changed by compare-and-set. It, and not the
 * server's acknowledgement, decides whether an entry counts: `counted` holds the ordinals that did, so an entry
 * whose acknowledgement was lost on the way counts nothing when it comes again. First counted, then
 * acknowledged: in between, a crash costs a redelivery and nothing else.
 */
export interface GroupRecord {
  group: string;
  /** Accepted and gone before the group existed. */
  base: number;
  stored: number;
  duplicate: number;
  quarantined: number;
  /** Messages that others published by hand; they have no ordinal. */
  foreign: number;
  counted: Ranges;
  lost: Ranges;
}

/** Reads a group's record with the revision to change it by. */
export async function readRecord(
  link: NatsLink,
  stream: string,
  group: string,
): Promise<{ record: GroupRecord; revision: number } | undefined> {
  const found = await link.ask(() => link.kv.get(ledgerKey(stream, group)));
  if (found?.operation !== "PUT") return undefined;
  return { record: found.json<GroupRecord>(), revision: found.revision };
}

/**
 * Changes a group's record; `change` gives undefined to leave it. Repeats when somebody else was faster. Resolves with the
 * revision that it has now. In a cluster somebody who was as fast may have overwritten it: see {@link createUnconfirmed}.
 */
export async function changeRecord(
  link: NatsLink,
  stream: string,
  group: string,
  change: (record: GroupRecord, revision: number) => GroupRecord | undefined,
): Promise<number> {
  for (;;) {
    const found = await readRecord(link, stream, group);
    if (!found) throw new Error(`group ${group} of ${stream} has no ledger`);
    const changed = change(found.record, found.revision);
    if (!changed) return found.revision;
    try {
      return await link.ask(() =>
        link.kv.update(ledgerKey(stream, group), JSON.stringify(changed), found.revision),
      );
    } catch (error) {
      if (natsFailureOf(error) !== "conflict") throw error;
    }
  }
}

/** Makes a group's ledger if it has none: its messages begin after `base`. */
export async function ensureRecord(
  link: NatsLink,
  stream: string,
  group: string,
  base: number,
): Promise<void> {
  const empty = { group, base, stored: 0, duplicate: 0, quarantined: 0, foreign: 0, counted: [], lost: [] };
  try {
    await link.ask(() => link.kv.create(ledgerKey(stream, group), JSON.stringify(empty)));
  } catch (error) {
    if (natsFailureOf(error) !== "conflict") throw error;
  }
}

/** Adds outcomes of entries that have not counted; gives `record` anew, and the ids that count by it. */
export function countOutcomes(
  record: GroupRecord,
  outcomes: readonly EntryOutcome[],
): { record: GroupRecord; ids: string[] } {
  const next = { ...record };
  const ids: string[] = [];
  for (const { id, stored, duplicate, quarantined } of outcomes) {
    const range = findRange(id);
    if (range && overlaps(next.counted, range.from, range.to)) continue;
    if (range) next.counted = joinRanges(next.counted, [[range.from, range.to]]);
    if (range) next.lost = next.lost.flatMap(([a, b]) => missingRanges([[range.from, range.to]], a, b));
    else next.foreign += stored + duplicate + quarantined;
    next.stored += stored;
    next.duplicate += duplicate;
    next.quarantined += quarantined;
    ids.push(id);
  }
  return { record: next, ids };
}
