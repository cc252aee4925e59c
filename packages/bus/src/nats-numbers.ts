import type { GroupLag, GroupLedger, StreamLag } from "./bus.ts";
import { readEnd } from "./nats-end.ts";
import { type GroupLook, lookAt } from "./nats-look.ts";
import { findMessage, listConsumers, type NatsLink, natsName } from "./nats-stream.ts";
import { countOrdinals } from "./ordinal-ranges.ts";

/** See {@link Bus.ledger}. */
export async function readNatsLedger(link: NatsLink, stream: string): Promise<GroupLedger[]> {
  return (await lookAtAll(link, stream)).map(toLedger);
}

/** See {@link Bus.lag}. */
export async function readNatsLag(link: NatsLink, stream: string): Promise<StreamLag> {
  const name = natsName(stream);
  const [info, end] = await Promise.all([link.ask(() => link.jsm.streams.info(name)), readEnd(link, stream)]);
  const groups: GroupLag[] = [];
  for (const look of await lookAtAll(link, stream)) groups.push(await toLag(link, name, look));
  return {
    stream,
    entries: info.state.messages,
    accepted: end.accepted,
    usedBytes: info.state.bytes,
    maxBytes: info.config.max_bytes > 0 ? info.config.max_bytes : null,
    groups,
  };
}

async function lookAtAll(link: NatsLink, stream: string): Promise<GroupLook[]> {
  const looks: GroupLook[] = [];
  for (const { config, name } of await listConsumers(link, natsName(stream))) {
    const look = await lookAt(link, stream, config.description ?? name);
    if (look) looks.push(look);
  }
  return looks;
}

function toLedger({ record, accepted, pending, unread }: GroupLook): GroupLedger {
  const { group, base, stored, duplicate, quarantined, foreign, lost } = record;
  const line = {
    group,
    accepted: accepted - base + foreign,
    stored,
    duplicate,
    quarantined,
    pending: countOrdinals(pending),
    unread: countOrdinals(unread),
    parked: 0,
    lost: countOrdinals(lost),
  };
  const sum = stored + duplicate + quarantined + line.pending + line.unread;
  return { ...line, balanced: line.accepted === sum };
}

async function toLag(link: NatsLink, name: string, look: GroupLook): Promise<GroupLag> {
  const { info } = look;
  const { group, pending, unread, parked } = toLedger(look);
  const seq = info.ack_floor.stream_seq + 1;
  const oldest =
    info.num_ack_pending > 0 ? await findMessage(link, name, { seq, next_by_subj: name }) : undefined;
  return {
    group,
    unread,
    unreadEntries: info.num_pending,
    pending,
    pendingEntries: info.num_ack_pending,
    parked,
    oldestPendingMs: oldest ? Math.max(0, Date.now() - oldest.timeMs) : null,
    lastDeliveredId: String(info.delivered.stream_seq),
    consumers: [],
  };
}
