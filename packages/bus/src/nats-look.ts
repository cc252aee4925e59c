import type { ConsumerInfo } from "nats";
import { readEnd } from "./nats-end.ts";
import { type GroupRecord, readRecord } from "./nats-ledger.ts";
import { findLast, findOwn, type NatsLink, natsName } from "./nats-stream.ts";
import { joinRanges, missingRanges, type Ranges } from "./ordinal-ranges.ts";

/** Of a stream with holes: how many entries of what is pending are looked for at once. */
const LOOK_AT_MOST = 200;

/**
 * One look at a group. Every ordinal from `base` to `accepted` is in exactly one of: counted, lost, gone, pending,
 * unread; so the numbers belong together although several answers of the server make them.
 */
export interface GroupLook {
  info: ConsumerInfo;
  record: GroupRecord;
  accepted: number;
  /** Neither counted nor named as lost, and not in the stream. */
  gone: Ranges;
  /** Delivered, in the stream, not counted. */
  pending: Ranges;
  unread: Ranges;
}

/** See {@link GroupLook}. Undefined where the group has no ledger. */
export async function lookAt(link: NatsLink, stream: string, group: string): Promise<GroupLook | undefined> {
  const name = natsName(stream);
  // The order matters: what counts now was delivered before, and was accepted before that.
  const found = await readRecord(link, stream, group);
  if (!found) return undefined;
  const { record } = found;
  const info = await link.ask(() => link.jsm.consumers.info(name, natsName(group)));
  const end = await readEnd(link, stream);
  const following = await findOwn(link, name, info.delivered.stream_seq + 1);
  const next = Math.min(following?.range.from ?? end.accepted + 1, end.accepted + 1);
  const open = openRanges(record, next - 1);
  const gone = await findGone(link, stream, group, open, end.accepted);
  return {
    info,
    record,
    accepted: end.accepted,
    gone,
    pending: without(open, gone),
    unread: missingRanges(settled(record), Math.max(next, record.base + 1), end.accepted),
  };
}

const settled = ({ counted, lost }: GroupRecord): Ranges => joinRanges(counted, lost);

/** Ordinals up to `to` that have neither counted nor were named as lost. */
export function openRanges(record: GroupRecord, to: number): Ranges {
  return missingRanges(settled(record), record.base + 1, to);
}

/** `ranges` without `taken`. */
export function without(ranges: Ranges, taken: Ranges): Ranges {
  return ranges.flatMap(([from, to]) => missingRanges(taken, from, to));
}

/** Sequence of the entry that `ordinal` is in, or would be. */
export function sequenceOf(
  link: NatsLink,
  name: string,
  ordinal: number,
  low: number,
  high: number,
): Promise<number> {
  return findLast(low, high, async (sequence) => {
    const own = await findOwn(link, name, sequence);
    return own !== undefined && own.range.from <= ordinal;
  });
}

/**
 * What of `open` is not in the stream. Trimming takes only what has counted, so that is gone for good; what counted
 * and was trimmed while we looked is left out again.
 */
async function findGone(
  link: NatsLink,
  stream: string,
  group: string,
  open: Ranges,
  accepted: number,
): Promise<Ranges> {
  const last = open.at(-1);
  if (!last) return [];
  const name = natsName(stream);
  const { state } = await link.ask(() => link.jsm.streams.info(name));
  const first = await findOwn(link, name, state.first_seq);
  const begin = first?.range.from ?? accepted + 1;
  const there: Ranges = begin <= last[1] ? [[begin, last[1]]] : [];
  let gone = without(open, there);
  if (state.num_deleted) {
    const inner = without(open, gone);
    gone = joinRanges(gone, await findHoles(link, name, inner, state.first_seq, state.last_seq));
  }
  if (gone.length === 0) return gone;
  const now = await readRecord(link, stream, group);
  return now ? without(gone, settled(now.record)) : [];
}

async function findHoles(
  link: NatsLink,
  name: string,
  ranges: Ranges,
  low: number,
  high: number,
): Promise<Ranges> {
  const holes: Ranges = [];
  let looks = 0;
  for (const [from, to] of ranges) {
    const held: Ranges = [];
    let upto = to;
    for (let seq = Math.max(low, await sequenceOf(link, name, from, low, high)); ; ) {
      const own = await findOwn(link, name, seq);
      if (!own || own.range.from > to) break;
      held.push([own.range.from, own.range.to]);
      seq = own.seq + 1;
      if (++looks < LOOK_AT_MOST) continue;
      upto = Math.min(to, own.range.to);
      break;
    }
    holes.push(...missingRanges(held, from, upto));
    if (looks >= LOOK_AT_MOST) break;
  }
  return holes;
}
