import type { Entry, LostRange } from "./bus.ts";
import { changeRecord, readRecord } from "./nats-ledger.ts";
import { type GroupLook, lookAt, openRanges, sequenceOf, without } from "./nats-look.ts";
import { findOwn, type NatsLink, natsName } from "./nats-stream.ts";
import { joinRanges, missingRanges, type Ranges } from "./ordinal-ranges.ts";

const RECOVER_AT_ONCE = 100;

/** What a look at the group found. */
export interface Findings {
  /** Gone for good, and named in the ledger by this call. */
  lost: LostRange[];
  /** Still in the stream and not counted, but the server would never deliver them again. */
  forgotten: Entry[];
}

/** Looks for messages that the group will not get by itself. */
export async function findLosses(link: NatsLink, stream: string, group: string): Promise<Findings> {
  const look = await lookAt(link, stream, group);
  if (!look) return { lost: [], forgotten: [] };
  const lost = look.gone.length > 0 ? await nameLost(link, stream, group, look.gone) : [];
  const forgotten = look.pending.length > 0 ? await findForgotten(link, stream, look) : [];
  return { lost: lost.map(([from, to]) => ({ stream, group, from, to })), forgotten };
}

/** Each loss is named once, by whoever writes it into the ledger. */
async function nameLost(link: NatsLink, stream: string, group: string, gone: Ranges): Promise<Ranges> {
  let named: Ranges = [];
  await changeRecord(link, stream, group, (record) => {
    const upto = gone.at(-1)?.[1] ?? 0;
    const open = openRanges(record, upto);
    // What of it is still open: the overlap.
    named = without(open, without([[1, upto]], gone));
    return named.length > 0 ? { ...record, lost: joinRanges(record.lost, named) } : undefined;
  });
  return named;
}

/**
 * An entry is counted before it is acknowledged. So one that has not counted, but lies below the server's
 * acknowledgement floor (or anywhere, where the server knows of nothing pending), was forgotten: nats-server 2.9
 * does so with everything pending when somebody purges the stream.
 */
async function findForgotten(link: NatsLink, stream: string, look: GroupLook): Promise<Entry[]> {
  const { info, record, accepted } = look;
  const name = natsName(stream);
  let before = accepted + 1;
  if (info.num_ack_pending > 0) {
    const above = await findOwn(link, name, info.ack_floor.stream_seq + 1);
    before = above?.range.from ?? before;
  }
  const [lowest] = look.pending;
  if (!lowest || lowest[0] >= before) return [];
  // Read after the server's answer: what it had acknowledged by then has counted by now.
  const now = await readRecord(link, stream, record.group);
  if (!now) return [];
  const ranges = without(look.pending, joinRanges(now.record.counted, now.record.lost));
  const entries: Entry[] = [];
  const { state } = await link.ask(() => link.jsm.streams.info(name));
  for (const [from, to] of ranges) {
    let seq = await sequenceOf(link, name, from, state.first_seq, state.last_seq);
    while (entries.length < RECOVER_AT_ONCE) {
      const own = await findOwn(link, name, seq);
      if (!own || own.range.from > Math.min(to, before - 1)) break;
      const whole = missingRanges(ranges, own.range.from, own.range.to).length === 0;
      if (whole) entries.push({ ...own.entry, attempts: 2 });
      seq = own.seq + 1;
    }
  }
  return entries;
}
