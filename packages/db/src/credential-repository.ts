import type { Credential } from "@sluice/shared-types";
import type { Queries } from "./open-db.ts";

/** Channel on which every change of a credential is told; the payload is its username. */
export const CREDENTIALS_CHANNEL = "sluice_credentials";

interface CredentialRow {
  username: string;
  password_hash: string;
  api_key_hash: string | null;
  previous: { hash: string; validUntilMs: number }[];
  status: "active" | "disabled";
  ack_stored: boolean;
  time_zone: string;
  devices: string[];
}

/** Every credential with the devices it owns: what the gateway keeps in memory. */
export async function listCredentials(db: Queries): Promise<Credential[]> {
  const rows = await db.query<CredentialRow>(
    `SELECT c.username, c.password_hash, c.api_key_hash, c.previous, c.status, c.ack_stored, c.time_zone,
            coalesce(array_agg(d.device_code::text ORDER BY d.device_code) FILTER (WHERE d.id IS NOT NULL), '{}') AS devices
       FROM iot.credentials c
       LEFT JOIN iot.credential_devices o ON o.credential_id = c.id
       LEFT JOIN iot.devices d ON d.id = o.device_id AND d.removed_at IS NULL
      GROUP BY c.id ORDER BY c.username`,
  );
  return rows.map((row) => ({
    username: row.username,
    passwordHash: row.password_hash,
    ...(row.api_key_hash === null ? {} : { apiKeyHash: row.api_key_hash }),
    previous: row.previous,
    devices: row.devices,
    status: row.status,
    ackStored: row.ack_stored,
    timeZone: row.time_zone,
  }));
}
