import type { Quarantined } from "@sluice/db";
import {
  type Clock,
  type ClockPolicy,
  DEFAULT_TYPE,
  DEVICE_ID,
  type Envelope,
  encodeMessage,
  type IncomingTopic,
  InvalidInputError,
  type Payload,
  parsePayload,
  parseTopic,
  resolveTime,
} from "@sluice/shared-types";

/** What is needed to read a refused message as the gateway would. */
export interface RebuildOptions {
  topicRoot: string;
  clock: ClockPolicy;
  /** IANA zone of a device's naive times. */
  timeZoneOf(device: string): string | undefined;
  /** Replace what is stored. */
  replace: boolean;
}

/** A message that can go onto the bus, or why there is none. */
export type Rebuilt = { device: string; text: string } | { why: string };

/**
 * Makes a message of a refusal's present payload, under the identity it had: its device, its type, the time of
 * its first arrival, and its boot and seq where it never got past the door. Pure.
 */
export function rebuildMessage(row: Quarantined, options: RebuildOptions): Rebuilt {
  if (row.truncated) return { why: "the payload was cut when it was kept; fix it first" };
  try {
    const topic = row.topic === null ? undefined : readTopic(row.topic, options.topicRoot);
    if (topic && (topic.kind === "register" || topic.kind === "fleet-status")) {
      return { why: `a message on ${row.topic} is not telemetry` };
    }
    const json = parseJson(row.payload);
    const named = topic && "type" in topic ? topic.type : undefined;
    const draft = parsePayload(json, row.type ?? named ?? DEFAULT_TYPE);
    const type =
      row.type ?? (named === undefined || named === DEFAULT_TYPE ? draft.type : named) ?? DEFAULT_TYPE;
    const payload = type === (row.type ?? named ?? DEFAULT_TYPE) ? draft : parsePayload(json, type);
    const device = row.device ?? (topic && "device" in topic ? topic.device : undefined) ?? payload.device;
    if (device === undefined) return { why: "it names no device; fix it with --device" };
    if (!DEVICE_ID.test(device)) return { why: "its device id is not legal; fix it with --device" };
    const first = payload.refused.find(({ index }) => row.sampleIndex === null || index === row.sampleIndex);
    if (first) return { why: `still refused: sample ${first.index}: ${first.code}, ${first.message}` };
    return { device, text: encode(row, payload, { device, type, kind: kindOf(topic) }, options) };
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    return { why: `still refused: ${error.code}, ${error.message}` };
  }
}

type Named = Pick<Envelope, "device" | "type" | "kind">;

function encode(row: Quarantined, payload: Payload, named: Named, options: RebuildOptions): string {
  const timeZone = options.timeZoneOf(named.device) ?? options.clock.timeZone;
  const timesUs: (number | null)[] = [];
  const clocks: Clock[] = [];
  const only = payload.indexes.some((index) => index === row.sampleIndex) ? row.sampleIndex : null;
  for (const [i, sample] of payload.samples.entries()) {
    const at = payload.indexes[i] ?? i;
    const { timeUs, clock } = resolveTime(sample, row.receivedUs, { ...options.clock, timeZone });
    // good neighbours of a refused sample are stored already
    timesUs[at] = only === null || at === only ? timeUs : null;
    clocks[at] = clock;
  }
  const envelope: Envelope = {
    ...named,
    source: "replay",
    receivedUs: row.receivedUs,
    timesUs: Array.from(timesUs, (timeUs) => timeUs ?? null),
    clock: Array.from(clocks, (clock) => clock ?? "none"),
    tags: payload.tags,
  };
  if (row.topic !== null) envelope.topic = row.topic;
  // a number that got past the door is noted as received: again it would look like a repetition
  const pastTheDoor = row.messageId !== null || row.sampleIndex !== null;
  const seq = payload.seq ?? row.seq ?? undefined;
  const boot = payload.boot ?? row.boot ?? undefined;
  if (!pastTheDoor && seq !== undefined) envelope.seq = seq;
  if (!pastTheDoor && boot !== undefined) envelope.boot = boot;
  if (options.replace) envelope.correction = true;
  return encodeMessage(envelope, row.payload.toString("utf8"));
}

function readTopic(topic: string, root: string): IncomingTopic | undefined {
  try {
    return parseTopic(topic, root);
  } catch (error) {
    if (error instanceof InvalidInputError) return undefined;
    throw error;
  }
}

function kindOf(topic: IncomingTopic | undefined): Envelope["kind"] {
  if (topic?.kind === "status" || topic?.kind === "lwt") return "status";
  return topic?.kind === "result" ? "result" : "telemetry";
}

function parseJson(payload: Buffer): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(payload);
  } catch (cause) {
    throw new InvalidInputError("not_utf8", "the payload is not UTF-8", { cause });
  }
  if (text.charCodeAt(0) === 0xfeff)
    throw new InvalidInputError("not_json", "the payload begins with a byte-order mark");
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InvalidInputError("not_json", (cause as Error).message, { cause });
  }
}
