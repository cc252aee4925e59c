import { fromWetBulb } from "@sluice/analytics";
import type { Entry } from "@sluice/bus";
import {
  type CanNode,
  type ClockPolicy,
  decodeCanFrame,
  type Envelope,
  getCanNode,
  InvalidInputError,
  keepPayload,
  parseCanFields,
  type Rejected,
  type ResolvedTime,
  readingsOfFrame,
  resolveTime,
} from "@sluice/shared-types";

/** Latest pressure by node number, in hPa, and when it was measured: what humidity is computed with. */
export type Pressures = Readonly<Record<string, { hpa: number; timeUs: number }>>;

/** What became of the frames of a batch, and the pressures after it. */
export interface DecodedFrames {
  /** In the order of the entries. */
  frames: (DecodedFrame | RefusedFrame)[];
  pressures: Pressures;
}
/** A message for the telemetry stream. */
export interface DecodedFrame {
  entryId: string;
  envelope: Envelope;
  payload: string;
}
/** A frame that is kept in quarantine. */
export interface RefusedFrame {
  entryId: string;
  rejected: Rejected;
}

/** Outside of it a barometer is broken, and the humidity computed from it would be. */
const PLAUSIBLE_HPA = { min: 300, max: 1100 };

/**
 * Decodes entries of `can:raw` in order. The same entries with the same pressures give the same messages, so that
 * what is delivered again is recognised as the same.
 */
export function decodeFrames(
  entries: readonly Entry[],
  before: Pressures,
  clock: ClockPolicy,
): DecodedFrames {
  const pressures: Record<string, Pressures[string]> = { ...before };
  const frames = entries.flatMap((entry) =>
    entry.messages.map((text) => {
      const receivedUs = appendedUs(entry.id);
      try {
        return { entryId: entry.id, ...decodeOne(text, receivedUs, pressures, clock) };
      } catch (error) {
        if (!(error instanceof InvalidInputError)) throw error;
        return { entryId: entry.id, rejected: refuse(text, entry.id, receivedUs, error) };
      }
    }),
  );
  return { frames, pressures };
}

function decodeOne(
  text: string,
  receivedUs: number,
  pressures: Record<string, Pressures[string]>,
  policy: ClockPolicy,
): Omit<DecodedFrame, "entryId"> {
  const frame = parseCanFields(fieldsOf(text));
  const node = getCanNode(frame.id);
  const content = decodeCanFrame(frame);
  const { timeUs, clock } = resolveTime({ time: frame.tsMs }, receivedUs, policy);
  if (content.kind === "BME280" && content.pressureHpa !== null) {
    const { pressureHpa } = content;
    if (pressureHpa >= PLAUSIBLE_HPA.min && pressureHpa <= PLAUSIBLE_HPA.max)
      pressures[node.node] = { hpa: pressureHpa, timeUs };
  }
  const last = pressures[node.node];
  // A log that is read again must not meet the pressures of its own end.
  const hpa = last && last.timeUs <= timeUs ? last.hpa : undefined;
  const readings = readingsOfFrame(node, content, (dry, wet) => fromWetBulb(dry, wet, hpa));
  return {
    envelope: envelopeOf(node, content.kind, receivedUs, { timeUs, clock }),
    payload: JSON.stringify(readings),
  };
}

function envelopeOf(node: CanNode, kind: string, receivedUs: number, time: ResolvedTime): Envelope {
  return {
    device: node.device,
    kind: "telemetry",
    type: kind,
    source: "can",
    receivedUs,
    timesUs: [time.timeUs],
    clock: time.clock,
    tags: {
      room: node.room,
      position: node.position,
      device_type: "can_node",
      device_name: `CAN node ${node.node}`,
    },
  };
}

function fieldsOf(text: string): Record<string, unknown> {
  try {
    const fields: unknown = JSON.parse(text);
    if (typeof fields === "object" && fields !== null) return fields as Record<string, unknown>;
  } catch (cause) {
    throw new InvalidInputError("bad_frame", "the entry has no fields", { cause });
  }
  throw new InvalidInputError("bad_frame", "the entry has no fields");
}

function refuse(text: string, entryId: string, receivedUs: number, error: InvalidInputError): Rejected {
  return {
    reason: error.code,
    detail: error.message,
    source: "can",
    receivedUs,
    messageId: `${entryId}#0`,
    ...keepPayload(text),
  };
}

/** When the entry was appended, by its id: the same however often it is delivered. */
function appendedUs(entryId: string): number {
  const ms = Number(/^(\d{12,14})-/.exec(entryId)?.[1]);
  return (Number.isFinite(ms) ? ms : Date.now()) * 1000;
}
