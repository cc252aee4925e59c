import type { FieldConflict } from "./field-types.ts";
import type { Refusal } from "./refusal.ts";

/** A line the server will not take, however often it is sent. */
export interface RejectedLine {
  /** Position among the lines given. */
  index: number;
  reason: "type_conflict" | "influx_rejected";
  /** The server's words. */
  message: string;
  conflict?: FieldConflict;
}

/** Sends lines in one request; resolves with undefined only when the server has stored every one of them. */
export type PostLines = (lines: readonly string[]) => Promise<Refusal | undefined>;

/**
 * Sends `lines` until each is settled: part of a request that succeeded as a whole, or refused by name. A server
 * that refuses some lines stores the others (1.x, 2.x 422), or none (2.x 400), and may name only the first it
 * stumbled over, so what is left is sent again: the same line twice is one point. Lines it does not name are
 * found by halving.
 * Rejects with OutageError as `post` does; some lines may then be stored, and all may be sent again.
 */
export async function settleLines(post: PostLines, lines: readonly string[]): Promise<RejectedLine[]> {
  const rejected: RejectedLine[] = [];
  const open: number[][] = lines.length > 0 ? [lines.map((_, i) => i)] : [];
  for (let indexes = open.pop(); indexes; indexes = open.pop()) {
    const batch = indexes;
    const refusal = await post(batch.map((i) => lines[i] ?? ""));
    if (!refusal) continue;
    if (batch.length === 1 || refusal.dropped === batch.length) {
      for (const index of batch) rejected.push(reject(index, refusal, batch.length === 1));
      continue;
    }
    if (refusal.named.size > 0) {
      for (const [position, message] of refusal.named) {
        rejected.push({ index: batch[position] ?? 0, reason: "influx_rejected", message });
      }
      const rest = batch.filter((_, position) => !refusal.named.has(position));
      if (rest.length > 0) open.push(rest);
      continue;
    }
    const middle = batch.length >> 1;
    open.push(batch.slice(middle), batch.slice(0, middle)); // the first half goes first
  }
  return rejected.sort((a, b) => a.index - b.index);
}

function reject(index: number, refusal: Refusal, alone: boolean): RejectedLine {
  const reason = refusal.conflict ? "type_conflict" : "influx_rejected";
  const line: RejectedLine = { index, reason, message: refusal.message };
  // Of several lines only one conflict is told, and it may not be this line's.
  if (alone && refusal.conflict) line.conflict = refusal.conflict;
  return line;
}
