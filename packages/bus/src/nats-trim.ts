import { readEnd } from "./nats-end.ts";
import { readRecord } from "./nats-ledger.ts";
import {
  findLast,
  findMessage,
  findOwn,
  listConsumers,
  type NatsLink,
  natsFailureOf,
  natsName,
} from "./nats-stream.ts";
import { joinRanges, missingRanges } from "./ordinal-ranges.ts";
import type { TrimPolicy } from "./trim-policy.ts";

const AT_ONCE = 64;

/**
 * Removes what every group has counted and acknowledged, but for the recent past. The last entry always stays: it
 * carries the stream's ordinals. Entries go one by one: a purge makes nats-server 2.9 forget what is pending
 * in every consumer, and never deliver it again.
 */
export async function trimNats(link: NatsLink, stream: string, policy: TrimPolicy): Promise<void> {
  const name = natsName(stream);
  const consumers = await listConsumers(link, name);
  if (consumers.length === 0) return;
  const { state } = await link.ask(() => link.jsm.streams.info(name));
  const end = await readEnd(link, stream);
  const before = Date.now() - policy.keepMs;
  let upto = end.accepted;
  for (const { config, name: durable } of consumers) {
    const found = await readRecord(link, stream, config.description ?? durable);
    if (!found) return;
    const { base, counted, lost } = found.record;
    const open = missingRanges(joinRanges(counted, lost), base + 1, upto);
    upto = Math.min(upto, (open[0]?.[0] ?? upto + 1) - 1);
  }
  /** Everything up to the entry at `sequence` is settled, and it is old or far enough back. */
  const removable = async (sequence: number) => {
    const message = await findMessage(link, name, { seq: sequence, next_by_subj: name });
    if (!message) return false;
    const own = message.range ? message : await findOwn(link, name, sequence);
    const to = message.range?.to ?? (own?.range?.from ?? end.accepted + 1) - 1;
    return to <= upto && (message.timeMs < before || to <= end.accepted - policy.keepMessages);
  };
  const floor = Math.min(...consumers.map(({ ack_floor }) => ack_floor.stream_seq), end.ownSequence - 1);
  if (floor < state.first_seq || !(await removable(state.first_seq))) return;
  const last = await findLast(state.first_seq + 1, floor, removable);
  await removeEntries(link, name, state.first_seq, last);
}

async function removeEntries(link: NatsLink, name: string, from: number, to: number): Promise<void> {
  const remove = async (sequence: number) => {
    try {
      await link.ask(() => link.jsm.streams.deleteMessage(name, sequence, false));
    } catch (error) {
      // Another reader trims the same stream.
      if (natsFailureOf(error) !== "missing") throw error;
    }
  };
  for (let next = from; next <= to; next += AT_ONCE) {
    const count = Math.min(AT_ONCE, to - next + 1);
    await Promise.all(Array.from({ length: count }, (_, i) => remove(next + i)));
  }
}
