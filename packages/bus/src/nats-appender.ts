import { randomUUID } from "node:crypto";
import { InvalidInputError, OutageError } from "@sluice/shared-types";
import { headers } from "nats";
import { ensureStream, noteReached, readEnd, type StreamEnd } from "./nats-end.ts";
import { classifyNats, findMessage, type NatsLink, natsFailureOf, natsName } from "./nats-stream.ts";
import { createPublishQueue, QUEUE_WAIT_MS } from "./publish-queue.ts";

const ENTRY_MESSAGES = 128;
const ENTRY_BYTES = 256 * 1024;
const PUBLISH_TIMEOUT_MS = 3_000;
const RETRY_MS = 100;

/** Appends to one stream. */
export interface NatsAppender {
  publish(messages: readonly string[]): Promise<string[]>;
  close(timeoutMs: number): Promise<void>;
}

/**
 * One append at a time; meanwhile publishes collect. What makes it atomic: an entry carries its own ordinal, and
 * the server takes it only at the place for which that ordinal is right (`Nats-Expected-Last-Subject-Sequence`); where a
 * cluster took it elsewhere all the same, it counts nowhere and is appended again (see `isMisplaced`). So there is no
 * counter beside the stream, several producers cannot give out one ordinal twice, and a repeated append either finds
 * itself at that place or was never taken. A call of more than {@link ENTRY_MESSAGES} messages is several entries: once
 * the first is in, the rest is tried until it is in, too.
 */
export function createNatsAppender(link: NatsLink, stream: string): NatsAppender {
  const name = natsName(stream);
  const producer = randomUUID();
  const encoder = new TextEncoder();
  let sequence = 0;
  let end: StreamEnd | undefined;
  let working: Promise<void> | undefined;
  const queue = createPublishQueue("nats", () => {
    working ??= work();
  });

  /** @returns the entry's id */
  async function append(messages: readonly string[], mustLand: boolean): Promise<string> {
    let msgId = `${producer}:${++sequence}`;
    const data = encoder.encode(JSON.stringify(messages));
    /** Where it was to go under its present name. */
    let places: StreamEnd[] = [];
    const giveUpMs = Date.now() + QUEUE_WAIT_MS;
    for (let unknownAt: StreamEnd | undefined; ; ) {
      try {
        if (unknownAt) {
          const landed = await findMessage(link, name, { seq: unknownAt.sequence + 1 });
          if (landed?.msgId === msgId) return taken(landed.seq, unknownAt.accepted, messages.length);
          end = undefined;
        }
        if (!link.connected() && !unknownAt) throw new OutageError("nats", "NATS is not connected");
        end ??= await readEnd(link, stream);
        const at: StreamEnd = end;
        unknownAt = at;
        if (places.at(-1) !== at) places.push(at);
        const ack = await send(at, msgId, messages.length, data);
        if (!ack.duplicate && ack.seq === at.sequence + 1)
          return taken(ack.seq, at.accepted, messages.length);
        end = undefined;
        // An earlier try had landed, and its place was taken for free meanwhile.
        const earlier = ack.duplicate ? await findMessage(link, name, { seq: ack.seq }) : undefined;
        if (ack.duplicate && !earlier?.misplaced) return earlier?.entry.id ?? `${ack.seq}-0`;
        const rightly = await findPlaced(places, msgId);
        if (rightly) return idOf(rightly.sequence + 1, rightly.accepted, messages.length);
        // In a wrong place, and so nowhere: it goes under a new name, or the server would not take it again.
        places = [];
        msgId = `${producer}:${++sequence}`;
        unknownAt = undefined;
      } catch (error) {
        const failure = error instanceof OutageError ? "cut" : natsFailureOf(error);
        if (failure === "conflict" || failure === "missing") {
          end = undefined;
          // Not necessarily somebody else's: a repeated append conflicts with its own first try.
          if (failure === "missing") await ensureStream(link, stream).catch(() => undefined);
          continue;
        }
        if (failure === "cut" && (await isMissing())) {
          unknownAt = undefined;
          end = undefined;
          continue;
        }
        const refused = failure === "refused" || failure === "bug";
        const neverSent = !unknownAt && Date.now() > giveUpMs;
        if (((refused || neverSent) && !mustLand) || link.nc.isClosed()) throw error;
        await new Promise((resume) => setTimeout(resume, RETRY_MS));
      }
    }
  }

  function send(at: StreamEnd, msgId: string, count: number, data: Uint8Array) {
    const h = headers();
    h.set("o", String(at.accepted + 1));
    h.set("n", String(count));
    h.set("p", String(at.sequence + 1));
    h.set("Nats-Msg-Id", msgId);
    h.set("Nats-Expected-Last-Subject-Sequence", String(at.sequence));
    return link.ask(() => link.js.publish(name, data, { headers: h, timeout: PUBLISH_TIMEOUT_MS }));
  }

  function taken(seq: number, before: number, count: number): string {
    end = { sequence: seq, ownSequence: seq, accepted: before + count };
    noteReached(link, stream, end.accepted);
    return idOf(seq, before, count);
  }

  const idOf = (seq: number, before: number, count: number) => `${seq}-${(before + 1) * 1_000 + count}`;

  /** An earlier try may have got in on its way, where it was right. */
  async function findPlaced(places: readonly StreamEnd[], msgId: string): Promise<StreamEnd | undefined> {
    for (const place of places)
      if ((await findMessage(link, name, { seq: place.sequence + 1 }))?.msgId === msgId) return place;
    return undefined;
  }

  /** Nobody answers a publish to a stream that does not exist: makes it, and says whether that was it. */
  async function isMissing(): Promise<boolean> {
    try {
      await link.ask(() => link.jsm.streams.info(name));
      return false;
    } catch (error) {
      if (natsFailureOf(error) !== "missing") return false;
      await ensureStream(link, stream).catch(() => undefined);
      return true;
    }
  }

  async function work(): Promise<void> {
    await new Promise((resume) => setImmediate(resume));
    while (queue.size() > 0) {
      const calls = queue.take(ENTRY_MESSAGES, ENTRY_BYTES);
      const messages =
        calls.length === 1 ? (calls[0]?.messages ?? []) : calls.flatMap((call) => [...call.messages]);
      try {
        const ids: string[] = [];
        for (const part of split(messages)) {
          const id = await append(part, ids.length > 0);
          for (let i = 0; i < part.length; i++) ids.push(`${id}#${i}`);
        }
        let at = 0;
        for (const call of calls) {
          call.resolve(ids.slice(at, at + call.messages.length));
          at += call.messages.length;
        }
      } catch (error) {
        for (const call of calls) call.reject(refusal(error));
        queue.expire();
      }
    }
    working = undefined;
  }

  return {
    publish: queue.add,
    async close(timeoutMs) {
      let timer: NodeJS.Timeout | undefined;
      const timeout = new Promise<void>((resume) => {
        timer = setTimeout(resume, timeoutMs);
      });
      await Promise.race([working, timeout]);
      clearTimeout(timer);
      queue.close();
    },
  };
}

function refusal(error: unknown): unknown {
  if (error instanceof Error && /max.?payload/i.test(error.message)) {
    return new InvalidInputError("too_large", "message is larger than the server takes", { cause: error });
  }
  return classifyNats(error);
}

function split(messages: readonly string[]): string[][] {
  const parts: string[][] = [];
  let bytes = 0;
  for (const message of messages) {
    const part = parts.at(-1);
    bytes += message.length;
    if (part && part.length < ENTRY_MESSAGES && bytes <= ENTRY_BYTES) part.push(message);
    else {
      parts.push([message]);
      bytes = message.length;
    }
  }
  return parts;
}
