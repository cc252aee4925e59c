import type { Entry } from "@sluice/bus";
import type { Correction, MeasurementRows, RegisteredDevice, TextRow } from "@sluice/db";
import {
  DEVICE_ID,
  decodeMessage,
  InvalidInputError,
  type Reason,
  type Telemetry,
} from "@sluice/shared-types";

/** Why something of a message is not stored. */
export interface Refusal {
  reason: Reason;
  detail: string;
}

/** One message on its way through a batch. */
export interface BatchMessage {
  /** Bus message id: `<entry>#<index>`. */
  id: string;
  /** Position among all messages of the stream; 0 where somebody appended it by hand. */
  ordinal: number;
  text: string;
  /** Missing where it could not be decoded. */
  telemetry?: Telemetry;
  /** Of the message itself, found before anything was stored. */
  refusals: Refusal[];
  /** It counts as stored although no row is of it: a tombstone, or a message that one has erased. */
  settled?: boolean;
}

/** The readings of a batch by sink, with the messages they come from: rows of a message stand together. */
export interface Plan {
  rows: MeasurementRows;
  texts: TextRow[];
  corrections: Correction[];
  /** Per message. */
  parts: MessagePart[];
}

/** What one message brings. */
export interface MessagePart {
  device: RegisteredDevice | undefined;
  /** Rows from (inclusive) to (exclusive). */
  rowFrom: number;
  rowTo: number;
  textFrom: number;
  textTo: number;
  refusals: Refusal[];
}

/** Decodes the messages of `entries`; one that cannot be is refused, not thrown. */
export function decodeEntries(entries: readonly Entry[]): BatchMessage[] {
  const messages: BatchMessage[] = [];
  for (const entry of entries) {
    for (const [index, text] of entry.messages.entries()) {
      const ordinal = entry.ordinal === 0 ? 0 : entry.ordinal + index;
      const message: BatchMessage = { id: `${entry.id}#${index}`, ordinal, text, refusals: [] };
      try {
        message.telemetry = checkEnvelope(decodeMessage(text));
        if (message.telemetry.tombstone) message.settled = true;
      } catch (error) {
        if (!(error instanceof InvalidInputError)) throw error;
        message.refusals.push({ reason: error.code, detail: error.message });
      }
      messages.push(message);
    }
  }
  return messages;
}

/** The gateway made it, but anybody who can write to the bus could have. */
function checkEnvelope(telemetry: Telemetry): Telemetry {
  const { device, seq, boot, receivedUs, samples, type } = telemetry;
  if (!DEVICE_ID.test(device)) throw new InvalidInputError("bad_device_id", "not a device id");
  const sound =
    Number.isSafeInteger(receivedUs) &&
    typeof type === "string" &&
    (seq === undefined || (Number.isSafeInteger(seq) && seq >= 0)) &&
    (boot === undefined || (typeof boot === "string" && boot.length <= 64 && !boot.includes("\u0000"))) &&
    samples.every(({ timeUs }) => Number.isSafeInteger(timeUs));
  if (!sound) throw new InvalidInputError("undecodable", "the envelope of the message is damaged");
  if (samples.length === 0 && !telemetry.tombstone)
    throw new InvalidInputError("no_readings", "no sample of it can be stored");
  return telemetry;
}
