import { OutageError } from "@sluice/shared-types";
import {
  type ConsumerInfo,
  ErrorCode,
  type JetStreamClient,
  type JetStreamManager,
  type KV,
  type NatsConnection,
  NatsError,
} from "nats";
import type { Entry } from "./bus.ts";
import type { Log } from "./log.ts";

/** An open connection and what the parts of the driver share. */
export interface NatsLink {
  nc: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
  kv: KV;
  replicas: number;
  maxBytes: number;
  connected(): boolean;
  /** Grows with every new connection: what was asked on an earlier one is not answered any more. */
  epoch(): number;
  /**
   * Asks the server. A connection that is cut meanwhile rejects at once, with a `cut`: nobody knows whether the
   * request was carried out.
   */
  ask<T>(request: () => Promise<T>): Promise<T>;
  /** Last ordinal known on a stream, in this process: what a stream that was deleted goes on from. */
  known: Map<string, number>;
  /** On which connection the ledgers of a stream were asked what it had reached. */
  asked: Map<string, number>;
  log: Log;
}

const STREAM_NOT_FOUND = 10_059;
const CONSUMER_NOT_FOUND = 10_014;
const MESSAGE_NOT_FOUND = 10_037;
const SEQUENCE_NOT_FOUND = 10_043;
/** Somebody else deleted the message first. */
const DELETE_FAILED = 10_057;
const WRONG_LAST_SEQUENCE = 10_071;
const MISSING = new Set([
  STREAM_NOT_FOUND,
  CONSUMER_NOT_FOUND,
  MESSAGE_NOT_FOUND,
  SEQUENCE_NOT_FOUND,
  DELETE_FAILED,
]);
const REFUSALS = new Set([10_002, 10_008, 10_023, 10_028, 10_047, 10_076, 10_077, 10_110, 10_122]);

/** Key-value bucket of the ledgers. */
export const LEDGER_BUCKET = "sluice_ledger";

/** Name of the JetStream stream, and subject, of a bus stream; of the durable consumer of a group. */
export function natsName(name: string): string {
  return name.replace(/[^A-Za-z0-9]+/g, "_").replace(/_+$/, "");
}

/** Key of the ledger of a group, or with no group of the stream itself. */
export const ledgerKey = (stream: string, group?: string) =>
  group === undefined ? natsName(stream) : `${natsName(stream)}.${natsName(group)}`;

/** What an error means; `missing` names a stream, consumer or message that is not there. */
export type NatsFailure = "missing" | "conflict" | "refused" | "cut" | "bug";

/** See {@link NatsFailure}. After `cut` nobody knows whether the request was carried out. */
export function natsFailureOf(error: unknown): NatsFailure {
  if (!(error instanceof NatsError)) return "bug";
  const code = error.api_error?.err_code;
  if (code !== undefined && MISSING.has(code)) return "missing";
  if (code === WRONG_LAST_SEQUENCE) return "conflict";
  if (code !== undefined) return REFUSALS.has(code) || error.api_error?.code === 503 ? "refused" : "bug";
  if (error.code === ErrorCode.MaxPayloadExceeded || error.code === ErrorCode.BadSubject) return "bug";
  return error.code === "404" ? "missing" : "cut";
}

/** An OutageError for what is one; other errors as they are. */
export function classifyNats(error: unknown): unknown {
  const failure = natsFailureOf(error);
  if (!(error instanceof Error) || (failure !== "cut" && failure !== "refused")) return error;
  return new OutageError("nats", `NATS: ${error.message}`, undefined, { cause: error });
}

/** The durable consumers of a stream; none where there is no stream. */
export async function listConsumers(link: NatsLink, name: string): Promise<ConsumerInfo[]> {
  try {
    return await link.ask(() => link.jsm.consumers.list(name).next());
  } catch (error) {
    if (natsFailureOf(error) === "missing") return [];
    throw error;
  }
}

/** A stored message. */
export interface StoredMessage {
  seq: number;
  timeMs: number;
  range: { from: number; to: number } | undefined;
  msgId: string;
  entry: Entry;
  /** See {@link isMisplaced}: it has no range, and is nobody's. */
  misplaced: boolean;
}

/** One that this driver appended. */
export interface OwnMessage extends StoredMessage {
  range: { from: number; to: number };
}

type Query = Parameters<JetStreamManager["streams"]["getMessage"]>[1] | { seq: number; next_by_subj: string };

/** A message by sequence, the next from a sequence, or the last; undefined where there is none. */
export async function findMessage(
  link: NatsLink,
  name: string,
  query: Query,
): Promise<StoredMessage | undefined> {
  try {
    const message = await link.ask(() => link.jsm.streams.getMessage(name, query as { seq: number }));
    const entry = toNatsEntry(message.seq, message.header, message.data, 0);
    const misplaced = isMisplaced(message.seq, message.header);
    return {
      misplaced,
      seq: message.seq,
      timeMs: message.time.getTime(),
      range:
        entry.ordinal > 0 && !misplaced
          ? { from: entry.ordinal, to: entry.ordinal + entry.messages.length - 1 }
          : undefined,
      msgId: message.header?.get("Nats-Msg-Id") ?? "",
      entry,
    };
  } catch (error) {
    if (natsFailureOf(error) === "missing") return undefined;
    throw error;
  }
}

/** The first entry at or after `sequence` that has ordinals; entries that others published have none. */
export async function findOwn(
  link: NatsLink,
  name: string,
  sequence: number,
): Promise<OwnMessage | undefined> {
  for (let seq = Math.max(1, sequence); ; ) {
    const message = await findMessage(link, name, { seq, next_by_subj: name });
    if (!message) return undefined;
    if (message.range) return { ...message, range: message.range };
    seq = message.seq + 1;
  }
}

/** Highest of `low`..`high` for which `holds`, which holds up to some place and not after; else `low - 1`. */
export async function findLast(
  low: number,
  high: number,
  holds: (sequence: number) => Promise<boolean>,
): Promise<number> {
  let below = low - 1;
  let above = high;
  while (below < above) {
    const middle = Math.ceil((below + above) / 2);
    if (await holds(middle)) below = middle;
    else above = middle - 1;
  }
  return below;
}

/**
 * Whether an entry stands elsewhere than where its ordinals are right: then it was never taken, and its producer has
 * appended it again. In a cluster nats-server checks what a publish expects against what it has applied, so that of two
 * publishes on their way at once both may get in (measured with 2.9.10, three servers).
 */
export function isMisplaced(sequence: number, headers: { get(name: string): string } | undefined): boolean {
  const place = headers?.get("p") ?? "";
  return place !== "" && Number(place) !== sequence;
}

/** Decodes an entry; one that others published is one message as it is, ordinal 0. */
export function toNatsEntry(
  sequence: number,
  headers: { get(name: string): string } | undefined,
  data: Uint8Array,
  attempts: number,
): Entry {
  const ordinal = Number(headers?.get("o") || 0);
  const text = Buffer.from(data.buffer, data.byteOffset, data.length).toString();
  if (ordinal === 0) return { id: `${sequence}-0`, ordinal, attempts, messages: [text] };
  const messages = JSON.parse(text) as string[];
  return { id: `${sequence}-${ordinal * 1_000 + messages.length}`, ordinal, attempts, messages };
}
