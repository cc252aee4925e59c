import { float8Array, int4Array } from "./binary-array.ts";
import type { Queries, Transaction } from "./open-db.ts";

/** A message's identity. `boot` is empty for devices that send none. */
export interface Sequence {
  deviceId: number;
  boot: string;
  seq: number;
  receivedUs: number;
}

/** Which of `sequences` were received before: indexes. */
export async function findSeen(tx: Transaction, sequences: readonly Sequence[]): Promise<Set<number>> {
  if (sequences.length === 0) return new Set();
  const rows = await tx.query<{ ord: number }>(
    `SELECT n.ord FROM unnest($1::int[], $2::text[], $3::float8[]) WITH ORDINALITY AS n(d, b, q, ord)
       JOIN public.device_sequence s ON s.device_id = n.d AND s.boot = n.b AND s.seen @> n.q::int8`,
    [
      int4Array(sequences.map((s) => s.deviceId)),
      sequences.map((s) => s.boot),
      float8Array(sequences.map((s) => s.seq)),
    ],
  );
  return new Set(rows.map(({ ord }) => ord - 1));
}

/**
 * Notes `sequences` as received, one statement, rows in order of their key. False where one with a boot id was
 * received before, by somebody else in the meantime: then the transaction has to be done over.
 */
export async function insertSequences(tx: Transaction, sequences: readonly Sequence[]): Promise<boolean> {
  if (sequences.length === 0) return true;
  const groups = groupSequences(sequences);
  const touched = await tx.execute(
    `INSERT INTO public.device_sequence (device_id, boot, seen, first_at, last_at)
     SELECT d, b, r::int8multirange, to_timestamp(f / 1e6), to_timestamp(l / 1e6)
       FROM unnest($1::int[], $2::text[], $3::text[], $4::float8[], $5::float8[]) AS n(d, b, r, f, l)
     ON CONFLICT (device_id, boot) DO UPDATE SET seen = device_sequence.seen + excluded.seen,
       last_at = greatest(device_sequence.last_at, excluded.last_at)
     WHERE excluded.boot = '' OR NOT device_sequence.seen && excluded.seen`,
    [
      int4Array(groups.map((g) => g.deviceId)),
      groups.map((g) => g.boot),
      groups.map((g) => multirange(g.seqs)),
      float8Array(groups.map((g) => g.firstUs)),
      float8Array(groups.map((g) => g.lastUs)),
    ],
  );
  return touched === groups.length;
}

interface Group {
  deviceId: number;
  boot: string;
  seqs: number[];
  firstUs: number;
  lastUs: number;
}

function groupSequences(sequences: readonly Sequence[]): Group[] {
  const groups = new Map<string, Group>();
  for (const { deviceId, boot, seq, receivedUs } of sequences) {
    const key = `${deviceId}/${boot}`;
    const group = groups.get(key);
    if (!group) groups.set(key, { deviceId, boot, seqs: [seq], firstUs: receivedUs, lastUs: receivedUs });
    else {
      group.seqs.push(seq);
      group.firstUs = Math.min(group.firstUs, receivedUs);
      group.lastUs = Math.max(group.lastUs, receivedUs);
    }
  }
  const byBoot = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  return [...groups.values()].sort((a, b) => a.deviceId - b.deviceId || byBoot(a.boot, b.boot));
}

/** `{[1,4),[7,8)}` of any list of numbers. */
export function multirange(seqs: readonly number[]): string {
  const sorted = [...seqs].sort((a, b) => a - b);
  const ranges: string[] = [];
  let from = sorted[0] as number;
  let to = from;
  for (const seq of sorted) {
    if (seq > to + 1) {
      ranges.push(`[${from},${to}]`);
      from = seq;
    }
    to = seq;
  }
  ranges.push(`[${from},${to}]`);
  return `{${ranges.join(",")}}`;
}

/** Gaps in the sequence numbers of devices that were heard of in the last day, and the messages missing in them. */
export async function countSequenceGaps(db: Queries): Promise<{ gaps: number; missing: number }> {
  const [row] = await db.query<{ gaps: number; missing: number }>(
    `SELECT count(*)::int8 AS gaps, coalesce(sum(missing), 0)::int8 AS missing FROM public.device_sequence_gap
      WHERE last_at > now() - interval '1 day'`,
  );
  return row ?? { gaps: 0, missing: 0 };
}
