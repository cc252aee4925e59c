import { OutageError } from "@sluice/shared-types";
import type { BrowseOptions, Bus, Entry, Reader } from "./bus.ts";
import type { Log } from "./log.ts";
import { createNatsAppender, type NatsAppender } from "./nats-appender.ts";
import { resumeStream } from "./nats-end.ts";
import { ensureNatsGroup } from "./nats-group.ts";
import { openNatsLink } from "./nats-link.ts";
import { readNatsLag, readNatsLedger } from "./nats-numbers.ts";
import { openNatsReader } from "./nats-reader.ts";
import { classifyNats, findMessage, natsName } from "./nats-stream.ts";
import type { TrimPolicy } from "./trim-policy.ts";

const CLOSE_WAIT_MS = 5_000;

/**
 * The NATS JetStream driver. A bus stream is a JetStream stream with one subject; an entry is a message with
 * the headers `o` (ordinal of its first message), `n` and `p` (the sequence for which that is right), and a JSON array as
 * body. `?replicas=3` and
 * `?maxBytes=` in the url shape the streams it creates; `?nodes=` names further servers, `?monitor=` where to check
 * that they sync.
 * @throws OutageError where the server cannot be reached, or has no JetStream
 */
export async function openNatsBus(
  url: string,
  { log, requireDurable, trim }: { log: Log; requireDurable: boolean; trim: TrimPolicy },
): Promise<Bus> {
  const link = await openNatsLink(url, log, requireDurable);
  const { nc } = link;
  const appenders = new Map<string, NatsAppender>();
  const readers = new Set<Reader>();
  let closing: Promise<void> | undefined;

  async function ask<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      throw classifyNats(error);
    }
  }

  async function browse(stream: string, { from, count, reverse }: BrowseOptions): Promise<Entry[]> {
    const name = natsName(stream);
    const entries: Entry[] = [];
    if (count <= 0 || from === "$") return entries;
    const { state } = await link.ask(() => link.jsm.streams.info(name));
    if (state.messages === 0) return entries;
    const start = Number.parseInt(from, 10) || (reverse ? state.last_seq : state.first_seq);
    for (let seq = start; entries.length < count && seq >= state.first_seq && seq <= state.last_seq; ) {
      const query = reverse ? { seq } : { seq, next_by_subj: name };
      const message = await findMessage(link, name, query);
      if (message && !message.misplaced) entries.push(message.entry);
      seq = (message?.seq ?? seq) + (reverse ? -1 : 1);
    }
    return entries;
  }

  return {
    async publish(stream, messages) {
      if (closing) throw new OutageError("nats", "the bus is closed");
      let appender = appenders.get(stream);
      if (!appender) {
        appender = createNatsAppender(link, stream);
        appenders.set(stream, appender);
      }
      return appender.publish(messages);
    },
    ensureGroup: (stream, group) => ask(() => ensureNatsGroup(link, stream, group)),
    reader: (options) =>
      ask(async () => {
        const reader = await openNatsReader(link, options, trim);
        readers.add(reader);
        return { ...reader, close: () => reader.close().finally(() => readers.delete(reader)) };
      }),
    lag: (stream) => ask(() => readNatsLag(link, stream)),
    ledger: (stream) => ask(() => readNatsLedger(link, stream)),
    browse: (stream, options) => ask(() => browse(stream, options)),
    // JetStream keeps streams on disk and refuses appends at its own limit.
    room: async () => ({ usedBytes: null, maxBytes: null }),
    resume: (stream, accepted) => ask(() => resumeStream(link, stream, accepted)),
    fates: async () => [],
    ping: () =>
      ask(async () => {
        await link.ask(() => link.jsm.getAccountInfo());
      }),
    close() {
      closing ??= (async () => {
        await Promise.all([...readers].map((reader) => reader.close()));
        await Promise.all([...appenders.values()].map((a) => a.close(CLOSE_WAIT_MS)));
        await nc.close();
      })();
      return closing;
    },
  };
}
