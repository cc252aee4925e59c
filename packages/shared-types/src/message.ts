import type { Clock } from "./clock.ts";
import { InvalidInputError } from "./errors.ts";
import { parsePayload, type Reading } from "./payload.ts";
import { readRange, type Tombstone } from "./tombstone.ts";

/** Where a message came in. */
export type Source = "mqtt" | "http" | "can" | "import" | "replay" | "operator";

/**
 * What the gateway knows of an accepted message besides its payload. On the bus a message is the JSON text
 * `{…envelope…,"p":<payload as sent>}`: consumers parse it once, and quarantine can still show the bytes sent.
 * Times are resolved once, here, so that every sink stores the same instant.
 */
export interface Envelope {
  device: string;
  kind: "telemetry" | "status" | "result";
  /** Message type: the topic's last level, or the body's `type`. InfluxDB's measurement. */
  type: string;
  source: Source;
  /** When the server got it, microseconds since the epoch. */
  receivedUs: number;
  /** Time of each sample, microseconds; null marks a sample refused at the door. */
  timesUs: readonly (number | null)[];
  /** Which clock each time comes from; one for all where they agree. */
  clock: Clock | readonly Clock[];
  topic?: string;
  boot?: string;
  seq?: number;
  tags?: Readonly<Record<string, string>>;
  /** MQTT client id and packet id of a QoS 1 or 2 message without an identity of its own: recognises its DUP. */
  packet?: readonly [clientId: string, packetId: number];
  /** An explicit correction: replaces what is stored. */
  correction?: true;
  /** Wants to hear when it is stored: where to tell (gateway instance and its own reference). */
  notify?: string;
  /** W3C `traceparent` of the span that took it in; only where traces are switched on. */
  trace?: string;
}

/** One instant of a decoded message. */
export interface TimedSample {
  timeUs: number;
  clock: Clock;
  readings: Reading[];
}

/** A decoded message: what consumers store. */
export interface Telemetry extends Omit<Envelope, "timesUs" | "clock"> {
  samples: TimedSample[];
  /** It brings nothing, it deletes this; see {@link Tombstone}. Then there are no samples. */
  tombstone?: Tombstone;
}

/** Short names on the wire; `p`, the payload, comes last. */
interface Wire {
  d: string;
  k?: Envelope["kind"];
  y: string;
  w: Source;
  r: number;
  t: (number | null)[];
  c: Clock | Clock[];
  o?: string;
  b?: string;
  q?: number;
  g?: Record<string, string>;
  i?: [string, number];
  x?: true;
  n?: string;
  /** Last of the envelope. */
  h?: string;
  z?: [number, number];
  p: unknown;
}

const PAYLOAD = ',"p":';

/** Puts an envelope around `payload`, which must be valid JSON text. */
export function encodeMessage(envelope: Envelope, payload: string): string {
  const e = envelope;
  const wire: Partial<Wire> = { d: e.device, y: e.type, w: e.source, r: e.receivedUs };
  wire.t = e.timesUs as (number | null)[];
  wire.c = e.clock as Clock;
  if (e.kind !== "telemetry") wire.k = e.kind;
  if (e.topic !== undefined) wire.o = e.topic;
  if (e.boot !== undefined) wire.b = e.boot;
  if (e.seq !== undefined) wire.q = e.seq;
  if (e.tags !== undefined) wire.g = e.tags as Record<string, string>;
  if (e.packet !== undefined) wire.i = e.packet as [string, number];
  if (e.correction) wire.x = true;
  if (e.notify !== undefined) wire.n = e.notify;
  if (e.trace !== undefined) wire.h = e.trace;
  return `${JSON.stringify(wire).slice(0, -1)}${PAYLOAD}${payload}}`;
}

const TRACE = /"h":"(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})"$/;

/** The trace that an encoded message belongs to, without reading the rest of it: it ends the envelope. */
export function traceOf(message: string): string | undefined {
  return TRACE.exec(message.slice(0, message.indexOf(PAYLOAD)))?.[1];
}

/** The payload as sent, out of an encoded message. */
export function payloadOf(message: string): string {
  // A key of the envelope cannot contain an unescaped quote, so the first match ends the envelope.
  return message.slice(message.indexOf(PAYLOAD) + PAYLOAD.length, -1);
}

/**
 * Reads a message off the bus.
 * @throws InvalidInputError `undecodable` where it is none
 */
export function decodeMessage(message: string): Telemetry {
  let wire: Wire;
  try {
    wire = JSON.parse(message) as Wire;
  } catch (cause) {
    throw new InvalidInputError("undecodable", "message is not JSON", { cause });
  }
  if (typeof wire !== "object" || wire === null || typeof wire.d !== "string" || !Array.isArray(wire.t)) {
    throw new InvalidInputError("undecodable", "message has no envelope");
  }
  if (wire.z !== undefined) {
    const tombstone = { device: wire.d, ...readRange(wire.z), publishedUs: wire.r };
    return {
      device: wire.d,
      kind: "telemetry",
      type: wire.y,
      source: wire.w,
      receivedUs: wire.r,
      samples: [],
      tombstone,
    };
  }
  const payload = parsePayload(wire.p, wire.y);
  const samples: TimedSample[] = [];
  for (const [i, sample] of payload.samples.entries()) {
    const at = payload.indexes[i] ?? i;
    const timeUs = wire.t[at];
    if (typeof timeUs !== "number") continue;
    const clock = typeof wire.c === "string" ? wire.c : (wire.c[at] ?? "none");
    samples.push({ timeUs, clock, readings: sample.readings });
  }
  const telemetry: Telemetry = {
    device: wire.d,
    kind: wire.k ?? "telemetry",
    type: wire.y,
    source: wire.w,
    receivedUs: wire.r,
    samples,
  };
  if (wire.o !== undefined) telemetry.topic = wire.o;
  if (wire.b !== undefined) telemetry.boot = wire.b;
  if (wire.q !== undefined) telemetry.seq = wire.q;
  if (wire.g !== undefined) telemetry.tags = wire.g;
  if (wire.i !== undefined) telemetry.packet = wire.i;
  if (wire.x) telemetry.correction = true;
  if (wire.n !== undefined) telemetry.notify = wire.n;
  if (wire.h !== undefined) telemetry.trace = wire.h;
  return telemetry;
}
