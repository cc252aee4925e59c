import { parseDeviceId } from "@sluice/shared-types";
import { CREDENTIALS_CHANNEL } from "./credential-repository.ts";
import type { Db } from "./open-db.ts";
import { createSecret, hashSecret } from "./secrets.ts";

/** A credential that may speak for a whole fleet. */
export interface FleetInput {
  username: string;
  /** Ids it may speak for from now on, besides those it already may. */
  devices: readonly string[];
  /** Type of the devices that are new. */
  type: string;
  /** How long the secrets of earlier calls stay good, so that two runs can overlap. */
  overlapMs: number;
}

/**
 * Registers the devices of a fleet and gives the one credential that owns them a new password, which is kept
 * nowhere in clear text. Devices that are there already keep their type, their history and their own
 * credentials. @throws InvalidInputError on an illegal id
 */
export async function createFleet(
  db: Db,
  pepper: string,
  input: FleetInput,
): Promise<{ username: string; password: string }> {
  const { username, overlapMs } = input;
  const ids = input.devices.map(parseDeviceId);
  const password = createSecret(24);
  const hash = hashSecret(pepper, password);
  await db.transaction(async (tx) => {
    const [old] = await tx.query<{
      password_hash: string;
      previous: { hash: string; validUntilMs: number }[];
    }>("SELECT password_hash, previous FROM iot.credentials WHERE username = $1 FOR UPDATE", [username]);
    const nowMs = Date.now();
    const previous = old
      ? [...old.previous, { hash: old.password_hash, validUntilMs: nowMs + overlapMs }]
          .filter(({ validUntilMs }) => validUntilMs > nowMs)
          .slice(-16)
      : [];
    const [credential] = await tx.query<{ id: number }>(
      `INSERT INTO iot.credentials (username, password_hash, previous) VALUES ($1, $2, $3)
       ON CONFLICT (username) DO UPDATE SET password_hash = excluded.password_hash, previous = excluded.previous,
         status = 'active', updated_at = now() RETURNING id`,
      [username, hash, JSON.stringify(previous)],
    );
    await tx.execute(
      `INSERT INTO iot.devices (device_code, device_type) SELECT unnest($1::text[]), $2
       ON CONFLICT (device_code) DO UPDATE SET removed_at = NULL WHERE devices.removed_at IS NOT NULL`,
      [[...new Set(ids)].sort(), input.type],
    );
    await tx.execute(
      `INSERT INTO iot.credential_devices (credential_id, device_id)
       SELECT $1, id FROM iot.devices WHERE device_code = ANY($2) ON CONFLICT DO NOTHING`,
      [credential?.id, ids],
    );
    await tx.query("SELECT pg_notify($1, $2)", [CREDENTIALS_CHANNEL, username]);
    await tx.execute(
      "INSERT INTO audit.events (event_type, entity_type, entity_id, message) VALUES ('fleet.provisioned', 'credential', $1, $2)",
      [username, `${username} may speak for ${ids.length} devices`],
    );
  });
  return { username, password };
}
