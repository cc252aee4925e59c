/**
 * The three fates of an error. Bad input goes to quarantine or becomes a 4xx; an outage is held and
 * retried (or answered 503); everything else is a broken promise and crashes the process.
 */

/** Why a message or one of its samples was refused. The codes are stable: they are labels and API. */
export const REASONS = [
  "empty",
  "not_utf8",
  "not_json",
  "not_object",
  "no_readings",
  "too_many_fields",
  "too_many_samples",
  "too_deep",
  "too_large",
  "bad_field_name",
  "bad_value",
  "value_too_long",
  "not_finite",
  "bad_sequence",
  "bad_topic",
  "bad_device_id",
  "device_mismatch",
  "bad_api_key",
  "not_authorised",
  "device_disabled",
  "unknown_device",
  "unknown_sensor",
  "unknown_can_node",
  "bad_frame",
  "quota_exceeded",
  "protocol_error",
  "connect_timeout",
  "bad_credentials",
  "bad_client_id",
  "client_id_in_use",
  "too_many_connections",
  "sensor_budget",
  "type_conflict",
  "conflicting_duplicate",
  "idempotency_mismatch",
  "undecodable",
  "poison_row",
  "influx_rejected",
] as const;

/** One of {@link REASONS}. */
export type Reason = (typeof REASONS)[number];

/** The sender's fault: retrying the same bytes cannot help. */
export class InvalidInputError extends Error {
  override readonly name = "InvalidInputError";
  constructor(
    readonly code: Reason,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Something looked up by id is not there. */
export class NotFoundError extends Error {
  override readonly name = "NotFoundError";
}

/** A server we depend on cannot serve now: the same call may work later. */
export class OutageError extends Error {
  override readonly name = "OutageError";
  constructor(
    /** Which server: `redis`, `postgres`, `influx`, `nats`, `mqtt`. */
    readonly dependency: string,
    message: string,
    /** How long the server asked us to wait, if it did. */
    readonly retryAfterMs?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
