import { z } from "zod";
import { InvalidInputError } from "./errors.ts";

/** A device id is a topic level, a tag and a key: letters, digits, `_` and `-`, at most 64. */
export const DEVICE_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** zod form of {@link DEVICE_ID}. */
export const DeviceId = z.string().regex(DEVICE_ID, "1-64 letters, digits, '_' or '-'");

/** Returns `id` if it is a legal device id. @throws InvalidInputError `bad_device_id` */
export function parseDeviceId(id: string): string {
  if (!DEVICE_ID.test(id)) {
    throw new InvalidInputError("bad_device_id", "a device id is 1-64 letters, digits, '_' or '-'");
  }
  return id;
}

/** What `sluice devices add` prints, once: the secrets are not kept in clear text anywhere. */
export const NewDevice = z.object({
  id: DeviceId,
  username: z.string(),
  password: z.string(),
  apiKey: z.string(),
});
/** See {@link NewDevice}. */
export type NewDevice = z.infer<typeof NewDevice>;

/**
 * A credential as the gateway needs it: who may speak for which devices.
 * Hashes are hex HMAC-SHA-256 under the installation's pepper; secrets have 128 bits or more.
 */
export interface Credential {
  username: string;
  /** Hash of the MQTT password. */
  passwordHash: string;
  /** Hash of the HTTP API key; undefined where the credential has none. */
  apiKeyHash?: string;
  /** Hashes still accepted during a rotation, each until the given epoch ms. */
  previous: readonly { hash: string; validUntilMs: number }[];
  /** The device ids it owns. */
  devices: readonly string[];
  /** `active` may connect; anything else is refused. */
  status: "active" | "disabled";
  /** Acknowledge on `/ack` once stored, not once accepted. */
  ackStored: boolean;
  /** IANA zone of naive device times. */
  timeZone: string;
}
