import { createHash } from "node:crypto";
import {
  type ClockPolicy,
  type Credential,
  type Envelope,
  encodeMessage,
  keepPayload,
  partitionOf,
  type Reason,
  type Rejected,
  type Source,
  streamKey,
} from "@sluice/shared-types";
import type { Appender, Slot } from "./appender.ts";
import { type Arrivals, type Times, timesOf } from "./arrival.ts";
import type { Duplicates } from "./duplicates.ts";
import { type NormaliseContext, type Normalised, type NormaliseResult, normalise } from "./normalise.ts";
import type { Quota } from "./quota.ts";
import type { RefusalLog } from "./refusal-log.ts";
import type { ReadTopic } from "./topic-reader.ts";

/** A message as it came in, before anything is known to be right about it. */
export interface RawMessage {
  /** As published; HTTP routes build the topic their message would have had. */
  topic: string;
  payload: Buffer;
  qos: 0 | 1 | 2;
  /** The sender says it may have sent this before (MQTT DUP flag). */
  dup: boolean;
  /** The broker kept it and sends it again (retain flag of a subscription): not a new sample. */
  retained?: boolean;
  /** MQTT client and packet id, where the message has them: they recognise a DUP. */
  clientId?: string;
  packetId?: number;
  /** Who sent it; absent behind an external broker, which has checked that itself. */
  credential?: Credential;
  source: Source;
  /** When a message with an identity beside its payload (`Idempotency-Key`) first came, in microseconds. */
  arrivedUs?: number;
  /** Where to tell when it is stored; see `Envelope.notify`. */
  notify?: string;
  /** `traceparent` of its trace, where it has one. */
  trace?: string;
}

/** What became of a message; both fates are durable when it is told. */
export interface Verdict {
  /** True where a message was appended to telemetry, or needs no append (a retained or resent one). */
  accepted: boolean;
  /** Bus id of the appended message. */
  id?: string;
  device?: string;
  boot?: string;
  seq?: number;
  /** What was refused: the whole message, or the samples named by `index`. */
  refusals: readonly { reason: Reason; detail: string; index?: number }[];
}

/** The one way in: broker, subscriber and HTTP all hand their messages here. */
export interface Ingest {
  /**
   * Resolves when the message is durable: appended to telemetry or, refused, kept in `rejected`. Never
   * rejects because of the message. Rejects with OutageError when it could not be kept: then the sender must
   * not be told that it was, and may send it again.
   */
  accept(message: RawMessage): Promise<Verdict>;
  /** Messages and bytes handed in and not yet durable: what back-pressure looks at. */
  waiting(): { messages: number; bytes: number };
  /** Messages handed in since the last call, by source. */
  takeReceived(): [Source, number][];
}

/** What ingest needs around it. */
export interface IngestDeps {
  append: Appender;
  arrivals: Arrivals;
  duplicates: Duplicates;
  /** Keeps the first arrival of a message with a sequence number; see `KeyValue.reserve`. */
  reserve(key: string, field: string, value: string, ttlMs: number): Promise<string>;
  readTopic(source: Source, topic: string): ReadTopic;
  checkApiKey(key: string, device: string): boolean;
  findOwner(device: string): Credential | undefined;
  quota: Pick<Quota, "take">;
  heard(device: string, status?: "online" | "offline", heartbeat?: boolean): void;
  refused: RefusalLog;
  clock: ClockPolicy;
  maxPayloadBytes: number;
  /** Telemetry streams, by partition. */
  streams: readonly string[];
  /** Where to tell about `stored`, for devices that want to know. */
  notify?: string;
}

/** How long a resend without a time of its own finds its first arrival. Later ones are recognised by `seq` alone. */
const RESERVED_MS = 15 * 60_000;
/** Sequence numbers that share one key: as many as Redis keeps in its compact form. */
const PER_KEY = 128;
const REJECTED = streamKey("rejected");

/** Opens the way in. Nothing to close: what it works with belongs to the caller. */
export function createIngest(deps: IngestDeps): Ingest {
  const contexts = createContexts(deps);
  const policies = new Map<string, ClockPolicy>();
  const policyOf = (timeZone: string | undefined): ClockPolicy => {
    if (timeZone === undefined || timeZone === deps.clock.timeZone) return deps.clock;
    let policy = policies.get(timeZone);
    if (!policy) {
      policy = { ...deps.clock, timeZone };
      policies.set(timeZone, policy);
    }
    return policy;
  };

  let received = new Map<Source, number>();
  const takeReceived = () => {
    const counts = [...received];
    received = new Map();
    return counts;
  };

  const accept = (raw: RawMessage): Promise<Verdict> => {
    received.set(raw.source, (received.get(raw.source) ?? 0) + 1);
    if (raw.retained) return Promise.resolve({ accepted: true, refusals: [] });
    const context = contexts(raw);
    const result = normalise(raw.topic, raw.payload, context);
    const { message } = result;
    const owner = raw.credential ?? (result.device === undefined ? undefined : deps.findOwner(result.device));
    if (message && owner && owner.status !== "active") {
      delete result.message;
      result.refusals = [{ reason: "device_disabled", detail: "the device's credential is disabled" }];
    }
    // Behind an external broker a backlog comes at once and nobody can be slowed down; HTTP asked before.
    if (raw.source === "mqtt" && raw.credential) {
      const who = result.device ?? raw.credential.username;
      if (!deps.quota.take(who, raw.payload.length) && result.message) {
        delete result.message;
        result.refusals = [{ reason: "quota_exceeded", detail: "the device sends more than its allowance" }];
      }
    }
    if (!result.message) return refuse(deps, raw, result);
    const kept = keep(deps, raw, result.message, policyOf(owner?.timeZone), owner?.ackStored === true);
    // What waits for its append is thousands of messages: nothing of them is held but this.
    const verdict = verdictOf(result);
    const { device, status, type } = result.message;
    const done = (id: string | undefined) => {
      deps.heard(device, status, status !== undefined && type === "heartbeat");
      if (id === undefined) return verdict;
      verdict.accepted = true;
      verdict.id = id;
      return verdict;
    };
    if ("then" in kept) {
      const slot = kept.then(({ ids, index }) => ids.then((all) => all[index]));
      if (result.refusals.length === 0) return slot.then(done);
      return Promise.all([slot, refuse(deps, raw, result)]).then(([id]) => done(id));
    }
    const { ids, index } = kept;
    if (result.refusals.length === 0) return ids.then((all) => done(all[index]));
    return Promise.all([ids, refuse(deps, raw, result)]).then(([all]) => done(all[index]));
  };
  return { accept, waiting: deps.append.waiting, takeReceived };
}

function createContexts(deps: IngestDeps) {
  const { maxPayloadBytes, checkApiKey } = deps;
  const readMqtt = (topic: string) => deps.readTopic("mqtt", topic);
  const readHttp = (topic: string) => deps.readTopic("http", topic);
  const bare: NormaliseContext = { readTopic: readMqtt, maxPayloadBytes, checkApiKey };
  const known = new WeakMap<Credential, Record<"mqtt" | "http", NormaliseContext>>();
  return ({ credential, source }: RawMessage): NormaliseContext => {
    if (!credential) return bare;
    let pair = known.get(credential);
    if (!pair) {
      const owned = new Set(credential.devices);
      const { username, devices } = credential;
      const speaker = { username, devices, owns: (device: string) => owned.has(device) };
      const common = { maxPayloadBytes, checkApiKey, speaker };
      pair = { mqtt: { ...common, readTopic: readMqtt }, http: { ...common, readTopic: readHttp } };
      known.set(credential, pair);
    }
    return source === "http" ? pair.http : pair.mqtt;
  };
}

/** Nothing of it is accepted yet. */
function verdictOf({ device, boot, seq, refusals }: NormaliseResult): Verdict {
  const verdict: Verdict = { accepted: false, refusals };
  if (device !== undefined) verdict.device = device;
  if (boot !== undefined) verdict.boot = boot;
  if (seq !== undefined) verdict.seq = seq;
  return verdict;
}

/** Finds the message's times and appends it; at once where nobody has to be asked for them. */
function keep(
  deps: IngestDeps,
  raw: RawMessage,
  message: Normalised,
  policy: ClockPolicy,
  wantsStored: boolean,
): Slot | Promise<Slot> {
  const { device, claims } = message;
  const put = (us: number, times: Times, packet?: Envelope["packet"]): Slot => {
    const envelope = envelopeOf(deps, raw, message, us, times, wantsStored, packet);
    const stream = deps.streams[partitionOf(device, deps.streams.length)] ?? "";
    return deps.append.put(stream, encodeMessage(envelope, message.payload));
  };
  const nowUs = deps.arrivals.now();
  const times = timesOf(claims, nowUs, policy);
  if (times.fromServer === 0) return put(nowUs, times);
  const at = (us: number, packet?: Envelope["packet"]) => put(us, timesOf(claims, us, policy), packet);
  if (raw.arrivedUs !== undefined) return at(raw.arrivedUs);
  const firstUs = deps.arrivals.take(device, claims.length);
  if (message.seq !== undefined) {
    // What is reserved is when the sample was taken: a device without a clock sends it again with a greater age.
    const ageUs = Math.round((claims.find((claim) => claim?.ageMs !== undefined)?.ageMs ?? 0) * 1000);
    return reserveArrival(deps, message, message.seq, firstUs - ageUs).then((us) => at(Number(us) + ageUs));
  }
  if (raw.clientId === undefined || raw.packetId === undefined || raw.qos === 0) return at(firstUs);
  const packet = [raw.clientId, raw.packetId] as const;
  if (!raw.dup) return at(firstUs, packet);
  // Already in the stream: appending it again with the time of its first arrival makes it a known duplicate.
  return deps.duplicates
    .find(packet, device, message.payload)
    .then((earlierUs) => at(earlierUs ?? firstUs, packet));
}

function reserveArrival(
  deps: IngestDeps,
  { device, boot, claims, payload }: Normalised,
  seq: number,
  firstUs: number,
): Promise<string> {
  const life = boot === undefined ? "" : encodeURIComponent(boot);
  const key = `sluice:arrival:{0}:${device}:${life}:${Math.floor(seq / PER_KEY)}`;
  // Without a boot id a restart counts from 0 again: only the same payload is the same message. One that tells
  // its age changes with every sending.
  const bare = boot === undefined && claims.every((claim) => claim?.ageMs === undefined);
  const field = bare ? `${seq % PER_KEY}:${digest(payload)}` : String(seq % PER_KEY);
  return deps.reserve(key, field, String(firstUs), RESERVED_MS);
}

const digest = (text: string) => createHash("sha1").update(text).digest("base64url").slice(0, 16);

function envelopeOf(
  deps: IngestDeps,
  raw: RawMessage,
  message: Normalised,
  receivedUs: number,
  { timesUs, clock }: Times,
  wantsStored: boolean,
  packet: Envelope["packet"],
): Envelope {
  const { device, kind, type, boot, seq, tags } = message;
  const envelope: Envelope = { device, kind, type, source: raw.source, receivedUs, timesUs, clock };
  if (raw.source === "mqtt") envelope.topic = raw.topic;
  if (boot !== undefined) envelope.boot = boot;
  if (seq !== undefined) envelope.seq = seq;
  if (tags !== undefined) envelope.tags = tags;
  if (packet !== undefined) envelope.packet = packet;
  const notify = raw.notify ?? (wantsStored && seq !== undefined ? deps.notify : undefined);
  if (notify !== undefined) envelope.notify = notify;
  if (raw.trace !== undefined) envelope.trace = raw.trace;
  return envelope;
}

/** Keeps what was refused, with its bytes; then counts it and says so. */
async function refuse(deps: IngestDeps, raw: RawMessage, result: NormaliseResult): Promise<Verdict> {
  const receivedUs = deps.arrivals.now();
  await Promise.all(
    result.refusals.map(({ reason, detail, index }) => {
      const rejected: Rejected = {
        reason,
        detail,
        source: raw.source,
        receivedUs,
        ...keepPayload(index === undefined ? raw.payload : sampleText(raw.payload, index)),
      };
      if (result.device !== undefined) rejected.device = result.device;
      rejected.topic = raw.topic.slice(0, 1024);
      if (result.type !== undefined) rejected.type = result.type;
      if (result.boot !== undefined) rejected.boot = result.boot;
      if (result.seq !== undefined) rejected.seq = result.seq;
      if (index !== undefined) rejected.index = index;
      return deps.append.add(REJECTED, JSON.stringify(rejected));
    }),
  );
  for (const { reason, detail } of result.refusals) {
    const who = result.device ?? raw.credential?.username ?? raw.clientId ?? "unknown";
    deps.refused.note(reason, who, { detail, topic: raw.topic.slice(0, 200), source: raw.source });
  }
  return verdictOf(result);
}

/** The one sample that was refused, as JSON: the message around it was accepted. */
function sampleText(payload: Buffer, index: number): string {
  const json = JSON.parse(payload.toString("utf8")) as { samples?: unknown[]; data?: unknown[] } | unknown[];
  const list = Array.isArray(json) ? json : Array.isArray(json.samples) ? json.samples : (json.data ?? []);
  return JSON.stringify(list[index] ?? null);
}
