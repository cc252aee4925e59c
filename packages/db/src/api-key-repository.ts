import { NotFoundError } from "@sluice/shared-types";
import { writeAudit } from "./audit-repository.ts";
import type { Db, Queries } from "./open-db.ts";
import { createSecret, hashSecret } from "./secrets.ts";
import type { Actor } from "./user-repository.ts";

/** What a key may do. Each includes those before it: read, write, admin. */
export type Scope = "read" | "write" | "admin";

/** What every API key of a program begins with. */
export const PROGRAM_KEY_PREFIX = "sla_";

/** A key of a program, without its secret. */
export interface ApiKey {
  id: number;
  name: string;
  /** Its beginning, by which people tell keys apart. */
  prefix: string;
  scopes: Scope[];
  /** Devices it is limited to; null: all. */
  devices: string[] | null;
  createdAt: Date;
  expiresAt: Date | null;
  revokedAt: Date | null;
  lastUsedAt: Date | null;
}

const COLUMNS = `id, name, prefix, scopes, devices, created_at AS "createdAt", expires_at AS "expiresAt",
  revoked_at AS "revokedAt", last_used_at AS "lastUsedAt"`;

/** Makes a key of 256 bits; it is in the answer and nowhere else in clear text. */
export function createApiKey(
  db: Db,
  pepper: string,
  input: {
    name: string;
    scopes: readonly Scope[];
    devices?: readonly string[] | undefined;
    expiresAt?: Date | undefined;
  },
  actor: Actor = {},
): Promise<ApiKey & { key: string }> {
  const key = `${PROGRAM_KEY_PREFIX}${createSecret(43)}`;
  return db.transaction(async (tx) => {
    const [row] = await tx.query<ApiKey>(
      `INSERT INTO core.api_keys (name, prefix, key_hash, scopes, devices, expires_at, created_by)
       VALUES ($1, $2, $3, $4, $5, $6, (SELECT id FROM core.users WHERE id = $7)) RETURNING ${COLUMNS}`,
      [
        input.name,
        key.slice(0, PROGRAM_KEY_PREFIX.length + 6),
        hashSecret(pepper, key),
        input.scopes,
        input.devices ?? null,
        input.expiresAt ?? null,
        actor.userId ?? null,
      ],
    );
    if (!row) throw new Error("the key was not inserted");
    const message = `${row.name} (${row.prefix}…): ${row.scopes.join(", ")}`;
    await writeAudit(tx, {
      event: "key.created",
      entityType: "api_key",
      entityId: `${row.id}`,
      message,
      ...actor,
    });
    return { ...row, key };
  });
}

/** All keys, the newest first. */
export function listApiKeys(db: Queries): Promise<ApiKey[]> {
  return db.query<ApiKey>(`SELECT ${COLUMNS} FROM core.api_keys ORDER BY id DESC LIMIT 1000`);
}

/** The key of that secret, whether it is still good or not. */
export async function findApiKey(db: Queries, pepper: string, key: string): Promise<ApiKey | undefined> {
  const [row] = await db.query<ApiKey>(`SELECT ${COLUMNS} FROM core.api_keys WHERE key_hash = $1`, [
    hashSecret(pepper, key),
  ]);
  return row;
}

/** Notes that a key was used, at most once a minute. */
export async function noteKeyUse(db: Queries, id: number): Promise<void> {
  await db.execute(
    `UPDATE core.api_keys SET last_used_at = now()
      WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - INTERVAL '1 minute')`,
    [id],
  );
}

/** Makes a key void. @throws NotFoundError where there is none that is not void already */
export async function revokeApiKey(db: Db, id: number, actor: Actor = {}): Promise<void> {
  await db.transaction(async (tx) => {
    const revoked = await tx.execute(
      "UPDATE core.api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL",
      [id],
    );
    if (revoked === 0) throw new NotFoundError(`no API key ${id}`);
    await writeAudit(tx, { event: "key.revoked", entityType: "api_key", entityId: `${id}`, ...actor });
  });
}

/** The device credential of an API key of a device, current or within the overlap of a rotation. */
export async function findDeviceKey(
  db: Queries,
  pepper: string,
  key: string,
): Promise<{ username: string; status: "active" | "disabled"; devices: string[] } | undefined> {
  const hash = hashSecret(pepper, key);
  const [row] = await db.query<{ username: string; status: "active" | "disabled"; devices: string[] }>(
    `SELECT c.username, c.status,
            coalesce(array_agg(d.device_code::text ORDER BY d.device_code) FILTER (WHERE d.id IS NOT NULL), '{}') AS devices
       FROM iot.credentials c
       LEFT JOIN iot.credential_devices o ON o.credential_id = c.id
       LEFT JOIN iot.devices d ON d.id = o.device_id AND d.removed_at IS NULL
      WHERE c.api_key_hash = $1 OR EXISTS (
              SELECT FROM jsonb_array_elements(c.previous) p
               WHERE p ->> 'hash' = $1 AND (p ->> 'validUntilMs')::float8 > extract(epoch FROM now()) * 1000)
      GROUP BY c.id LIMIT 1`,
    [hash],
  );
  return row;
}
