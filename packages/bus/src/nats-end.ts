import { DiscardPolicy, nanos, RetentionPolicy, StorageType } from "nats";
import type { GroupRecord } from "./nats-ledger.ts";
import {
  findMessage,
  LEDGER_BUCKET,
  ledgerKey,
  type NatsLink,
  natsFailureOf,
  natsName,
} from "./nats-stream.ts";

const DUPLICATE_WINDOW_MS = 120_000;
const FOREIGN_AT_MOST = 1_000;

/** Makes sure the stream is there. One that had vanished goes on with the ordinals it had reached. */
export async function ensureStream(link: NatsLink, stream: string): Promise<void> {
  const name = natsName(stream);
  try {
    await link.ask(() => link.jsm.streams.info(name));
    return;
  } catch (error) {
    if (natsFailureOf(error) !== "missing") throw error;
  }
  const reached = await readReached(link, stream);
  if (reached > 0) await link.ask(() => link.kv.put(ledgerKey(stream), String(reached)));
  await link.ask(() =>
    link.jsm.streams.add({
      name,
      subjects: [name],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.New,
      num_replicas: link.replicas,
      max_bytes: link.maxBytes,
      duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    }),
  );
}

/** Where a stream's end is: its last sequence, and the last ordinal ever accepted. */
export interface StreamEnd {
  sequence: number;
  /** Of the last entry that has ordinals. */
  ownSequence: number;
  accepted: number;
}

/**
 * See {@link StreamEnd}. The last entry carries its ordinals, and trimming never takes it. But a stream can lose its
 * end (deleted, or a power cut before the sync): it goes on above whatever was known or has counted, because
 * an ordinal given out twice would be taken for one that has counted, and swallowed.
 */
export async function readEnd(link: NatsLink, stream: string): Promise<StreamEnd> {
  const name = natsName(stream);
  const last = await findMessage(link, name, { last_by_subj: name });
  let own = last;
  for (let i = 1; last && !own?.range && i <= Math.min(FOREIGN_AT_MOST, last.seq - 1); i++) {
    own = await findMessage(link, name, { seq: last.seq - i });
  }
  const accepted = Math.max(own?.range?.to ?? 0, await readReached(link, stream));
  noteReached(link, stream, accepted);
  const sequence = last?.seq ?? 0;
  return { sequence, ownSequence: own?.range ? own.seq : sequence, accepted };
}

/** This many messages were accepted on the stream, whatever becomes of them. */
export function noteReached(link: NatsLink, stream: string, accepted: number): void {
  link.known.set(stream, Math.max(accepted, link.known.get(stream) ?? 0));
}

/** What the stream had reached as far as this process and the ledgers know; these are asked once per connection. */
async function readReached(link: NatsLink, stream: string): Promise<number> {
  const epoch = link.epoch();
  if (link.asked.get(stream) !== epoch) {
    const saved = await link.ask(() => link.kv.get(ledgerKey(stream)));
    noteReached(link, stream, saved?.operation === "PUT" ? Number(saved.string()) : 0);
    // Not `kv.keys`: what it iterates over may never end while a key is changed.
    const filter = `$KV.${LEDGER_BUCKET}.${natsName(stream)}.*`;
    const info = await link.ask(() =>
      link.jsm.streams.info(`KV_${LEDGER_BUCKET}`, { subjects_filter: filter }),
    );
    const keys = Object.keys(info.state.subjects ?? {}).map((subject) =>
      subject.split(".").slice(2).join("."),
    );
    for (const key of keys) {
      const entry = await link.ask(() => link.kv.get(key));
      if (entry?.operation !== "PUT") continue;
      const { base, counted, lost } = entry.json<GroupRecord>();
      noteReached(link, stream, Math.max(base, counted.at(-1)?.[1] ?? 0, lost.at(-1)?.[1] ?? 0));
    }
    link.asked.set(stream, epoch);
  }
  return link.known.get(stream) ?? 0;
}

/** See `Bus.resume`. */
export async function resumeStream(link: NatsLink, stream: string, accepted: number): Promise<boolean> {
  await ensureStream(link, stream);
  if ((await readEnd(link, stream)).accepted > 0) return false;
  await link.ask(() => link.kv.put(ledgerKey(stream), String(accepted)));
  noteReached(link, stream, accepted);
  return true;
}
