import { isUtf8 } from "node:buffer";
import {
  type Credential,
  DEFAULT_TYPE,
  type Envelope,
  type IncomingTopic,
  InvalidInputError,
  type Payload,
  parsePayload,
  type Reason,
  type TimeClaim,
} from "@sluice/shared-types";
import type { ReadTopic } from "./topic-reader.ts";

/** What is known around a message when it is read. */
export interface NormaliseContext {
  /** Reads a topic; @throws InvalidInputError */
  readTopic(topic: string): ReadTopic;
  maxPayloadBytes: number;
  /** Who sent it; undefined where another broker has checked that. */
  speaker?: Pick<Credential, "username" | "devices"> & { owns(device: string): boolean };
  /** Whether a key inside the payload is the device's own. */
  checkApiKey(key: string, device: string): boolean;
}

/** A message that can be stored, all but its times. */
export interface Normalised extends Pick<Envelope, "device" | "kind" | "type" | "boot" | "seq" | "tags"> {
  /** What each sample claims about its time; undefined where the sample was refused. */
  claims: readonly (TimeClaim | undefined)[];
  /** JSON text without secrets. */
  payload: string;
  /** What a status message says of its device. */
  status?: "online" | "offline";
}

/** One refusal: of the message, or of the sample `index`. */
export interface Refusal {
  reason: Reason;
  detail: string;
  index?: number;
}

/** What a message amounts to. `device` is set once it is known and the speaker may speak for it. */
export interface NormaliseResult {
  message?: Normalised;
  refusals: Refusal[];
  device?: string;
  type?: string;
  boot?: string;
  seq?: number;
}

/** Reads topic and bytes of a message. Pure; never throws because of what was sent. */
export function normalise(topic: string, bytes: Buffer, context: NormaliseContext): NormaliseResult {
  const result: NormaliseResult = { refusals: [] };
  try {
    result.message = read(topic, bytes, context, result);
  } catch (error) {
    result.refusals = [refusalOf(error)];
  }
  return result;
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof InvalidInputError) return { reason: error.code, detail: error.message };
  // Only the recursion of reviver and stringify can overflow, on nesting that no limit of a field has seen.
  if (error instanceof RangeError) return { reason: "too_deep", detail: "payload is nested too deeply" };
  throw error;
}

function read(topic: string, bytes: Buffer, context: NormaliseContext, result: NormaliseResult): Normalised {
  const { meaning, device: fixed, fallback } = context.readTopic(topic);
  const kind = kindOf(meaning);
  let type = typeOf(meaning);
  result.type = type;
  if (fixed) {
    authorise(fixed, context);
    result.device = fixed;
  }
  let text = decode(bytes, context.maxPayloadBytes);
  let json = parseJson(text, kind, type);
  const keys: unknown[] = [];
  if (!json.rewritten && mayHoldKey(text)) json = { value: takeKeys(text, keys), rewritten: true };
  if (json.rewritten) text = JSON.stringify(json.value);
  const payload = parse(json.value, kind, type, (value) => {
    json = { value, rewritten: true };
    text = JSON.stringify(value);
  });
  if (payload.boot !== undefined) result.boot = payload.boot;
  if (payload.seq !== undefined) result.seq = payload.seq;
  const device = fixed ?? deviceOf(payload, fallback, context);
  if (!fixed) authorise(device, context);
  result.device = device;
  if (fixed && payload.device !== undefined && payload.device !== fixed) {
    throw new InvalidInputError("device_mismatch", `payload names device '${clip(payload.device)}'`);
  }
  for (const key of keys) {
    if (typeof key !== "string" || !context.checkApiKey(key, device)) {
      throw new InvalidInputError("bad_api_key", "the api_key in the payload is not this device's");
    }
  }
  // The topic's last level is the type; the body's counts where the topic has none.
  if (payload.type !== undefined && type === DEFAULT_TYPE && TYPE.test(payload.type)) type = payload.type;
  result.type = type;
  refuseSamples(json.value, device, payload, result);
  return assemble({ device, kind, type, payload, text, json: json.value });
}

const TYPE = /^[A-Za-z0-9.-][A-Za-z0-9_.-]{0,63}$/;

function assemble(parts: {
  device: string;
  kind: Envelope["kind"];
  type: string;
  payload: Payload;
  text: string;
  json: unknown;
}): Normalised {
  const { device, kind, type, payload, text } = parts;
  const claims: (TimeClaim | undefined)[] = new Array(payload.samples.length + payload.refused.length);
  for (const [i, sample] of payload.samples.entries()) {
    const { time, ageMs } = sample;
    const claim: TimeClaim = {};
    if (time !== undefined) claim.time = time;
    if (ageMs !== undefined) claim.ageMs = ageMs;
    claims[payload.indexes[i] ?? i] = claim;
  }
  const message: Normalised = { device, kind, type, claims, payload: text };
  if (payload.boot !== undefined) message.boot = payload.boot;
  if (payload.seq !== undefined) message.seq = payload.seq;
  for (const _ in payload.tags) {
    message.tags = payload.tags;
    break;
  }
  if (kind === "status") message.status = statusOf(type, parts.json);
  return message;
}

function kindOf(meaning: IncomingTopic): Envelope["kind"] {
  if (meaning.kind === "telemetry" || meaning.kind === "result") return meaning.kind;
  return "status";
}

function typeOf(meaning: IncomingTopic): string {
  if ("type" in meaning) return meaning.type;
  return meaning.kind === "lwt" ? "offline" : meaning.kind === "register" ? "register" : "fleet";
}

function deviceOf(payload: Payload, fallback: string | undefined, { speaker }: NormaliseContext): string {
  if (payload.device !== undefined) {
    if (!/^[A-Za-z0-9_-]{1,64}$/.test(payload.device))
      throw new InvalidInputError("bad_device_id", "a device id is 1-64 letters, digits, '_' or '-'");
    return payload.device;
  }
  const only = speaker?.devices.length === 1 ? speaker.devices[0] : undefined;
  const device = fallback ?? only;
  if (device === undefined) {
    throw new InvalidInputError("bad_device_id", "neither topic nor payload names a device");
  }
  return device;
}

function authorise(device: string, { speaker }: NormaliseContext): void {
  if (speaker && !speaker.owns(device)) {
    throw new InvalidInputError(
      "not_authorised",
      `'${clip(speaker.username)}' may not speak for device '${clip(device)}'`,
    );
  }
}

function decode(bytes: Buffer, maxBytes: number): string {
  if (bytes.length === 0) throw new InvalidInputError("empty", "payload is empty");
  if (bytes.length > maxBytes) {
    throw new InvalidInputError("too_large", `payload has ${bytes.length} bytes, the limit is ${maxBytes}`);
  }
  if (!isUtf8(bytes)) throw new InvalidInputError("not_utf8", "payload is not valid UTF-8");
  const text = bytes.toString("utf8");
  if (text.charCodeAt(0) === 0xfeff)
    throw new InvalidInputError("not_json", "payload starts with a byte order mark");
  return text;
}

/** Status and command results may be plain text (`offline`): then it becomes the one field of an object. */
function parseJson(text: string, kind: Envelope["kind"], type: string) {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    if (kind === "telemetry" || !isPlainText(text)) {
      const why = (cause as Error).message.replace(/[^\x20-\x7e]/g, "?").slice(0, 120);
      throw new InvalidInputError("not_json", `payload is not JSON: ${why}`, { cause });
    }
    value = text.trim();
  }
  if (kind === "telemetry" || (typeof value === "object" && value !== null))
    return { value, rewritten: false };
  const field = kind === "result" ? "result" : "status";
  return { value: { [field]: value ?? type }, rewritten: true };
}

const isPlainText = (text: string) => /^[\w .,:;/+-]{1,256}$/.test(text.trim()) && !/^[{[]/.test(text.trim());

function parse(
  json: unknown,
  kind: Envelope["kind"],
  type: string,
  rewrite: (value: unknown) => void,
): Payload {
  try {
    return parsePayload(json, type);
  } catch (error) {
    // A status topic says something by itself: `{"api_key": …}` on status/online is complete.
    const bare = error instanceof InvalidInputError && error.code === "no_readings" && kind === "status";
    if (!bare || typeof json !== "object" || json === null || Array.isArray(json)) throw error;
    const value = { ...json, status: type };
    rewrite(value);
    return parsePayload(value, type);
  }
}

/** A name may be written with escapes, so those are looked at as well. */
const mayHoldKey = (text: string) => text.includes("api_key") || text.includes("\\u00");

/** Reads the text again without any `api_key`, wherever it stands; those taken out go to `keys`. */
function takeKeys(text: string, keys: unknown[]): unknown {
  return JSON.parse(text, (name, value) => {
    if (name !== "api_key") return value;
    keys.push(value);
    return undefined;
  });
}

/** Moves samples that name another device from the good ones to the refused ones, and reports all refused. */
function refuseSamples(json: unknown, device: string, payload: Payload, result: NormaliseResult): void {
  const list = sampleList(json);
  if (!list) return;
  for (let i = payload.samples.length - 1; i >= 0; i--) {
    const index = payload.indexes[i] ?? i;
    const item = list[index] as Record<string, unknown> | undefined;
    const own = item?.device_id ?? item?.sensor_id;
    if (own === undefined || own === null || String(own) === device) continue;
    payload.samples.splice(i, 1);
    payload.indexes.splice(i, 1);
    payload.refused.push({ index, code: "device_mismatch", message: "the sample names another device" });
  }
  for (const { index, code, message } of payload.refused) {
    result.refusals.push({ reason: code, detail: message, index });
  }
  if (payload.samples.length === 0) {
    throw new InvalidInputError("device_mismatch", "every sample names another device");
  }
}

function sampleList(json: unknown): readonly unknown[] | undefined {
  if (Array.isArray(json)) return json;
  const { samples, data } = json as { samples?: unknown; data?: unknown };
  return Array.isArray(samples) ? samples : Array.isArray(data) ? data : undefined;
}

function statusOf(type: string, json: unknown): "online" | "offline" {
  const said = json as { status?: unknown; connected?: unknown };
  if (type === "offline" || said.connected === false) return "offline";
  return typeof said.status === "string" && /^(offline|disconnected)$/i.test(said.status)
    ? "offline"
    : "online";
}

const clip = (text: string) =>
  (text.length > 64 ? `${text.slice(0, 64)}…` : text).replace(/[^\x20-\x7e…]/g, "?");
