import { z } from "zod";
import { REASONS } from "./errors.ts";

/** Longest payload kept with a refusal; the rest is cut and `truncated` says so. */
export const REJECTED_PAYLOAD_LIMIT = 65_536;

/**
 * What could not be stored: the message on the `rejected` stream, and the row in quarantine; with `who` no message of
 * anybody, but a connection, subscription or request that was turned away.
 */
export const Rejected = z.object({
  reason: z.enum(REASONS),
  /** One sentence for people. */
  detail: z.string(),
  /** mqtt, http, can, import, replay, or the consumer group that refused an accepted message. */
  source: z.string(),
  /** Microseconds since the epoch. */
  receivedUs: z.number(),
  device: z.string().optional(),
  topic: z.string().optional(),
  boot: z.string().optional(),
  seq: z.number().optional(),
  /** Index of the sample in an array payload. */
  index: z.number().optional(),
  /** Bus message id (`<entry>#<index>`), where it had been accepted. */
  messageId: z.string().optional(),
  /** Message type, so that a fixed payload can be replayed. */
  type: z.string().optional(),
  /** Who was turned away before a message of theirs was looked at, and for how many times this one stands. */
  who: z
    .object({ address: z.string(), user: z.string(), client: z.string(), times: z.number().int().positive() })
    .optional(),
  /** The original bytes, base64. */
  payload: z.string(),
  truncated: z.boolean().optional(),
});
/** See {@link Rejected}. */
export type Rejected = z.infer<typeof Rejected>;

/** Base64 of `bytes`, cut at `limit` (default {@link REJECTED_PAYLOAD_LIMIT}), with secrets in `api_key` and `password` blotted out. */
export function keepPayload(
  bytes: Uint8Array | string,
  limit = REJECTED_PAYLOAD_LIMIT,
): { payload: string; truncated?: true } {
  const buffer =
    typeof bytes === "string"
      ? Buffer.from(bytes)
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const kept = redact(buffer.subarray(0, limit));
  return buffer.length > limit
    ? { payload: kept.toString("base64"), truncated: true }
    : { payload: kept.toString("base64") };
}

function redact(bytes: Buffer): Buffer {
  const text = bytes.toString("latin1");
  if (!/api_key|password/i.test(text)) return bytes;
  const blotted = text.replace(/("(?:api_key|password)"\s*:\s*)"(?:[^"\\]|\\.)*"?/gi, '$1"***"');
  return Buffer.from(blotted, "latin1");
}
