const CONNACK_REASONS: Record<number, string> = {
  1: "the broker does not speak this protocol version",
  2: "the broker refuses the client id",
  3: "the broker is unavailable",
  4: "wrong user name or password",
  5: "not authorised",
  132: "the broker does not speak MQTT 5",
  133: "the broker refuses the client id",
  134: "wrong user name or password",
  135: "not authorised",
  136: "the broker is unavailable",
  137: "the broker is busy",
  138: "banned",
};
/** A CONNACK code in words. */
export const connackReason = (code: number) =>
  CONNACK_REASONS[code] ?? `the broker refused the connection (${code})`;

const DISCONNECT_REASONS: Record<number, string> = {
  139: "the broker is shutting down",
  141: "the broker missed our keepalive",
  142: "another client connected with the same client id",
  147: "the broker says we exceeded its receive maximum",
  149: "packet too large",
  152: "disconnected by an administrator",
};
/** An MQTT 5 DISCONNECT code in words. */
export const disconnectReason = (code: number) =>
  DISCONNECT_REASONS[code] ?? `the broker closed the connection (reason ${code})`;
