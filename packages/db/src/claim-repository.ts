import { type NewDevice, NotFoundError, parseDeviceId } from "@sluice/shared-types";
import { createDeviceSecrets } from "./device-repository.ts";
import type { Db, Queries } from "./open-db.ts";
import { createSecret, hashSecret } from "./secrets.ts";

/** What every claim token begins with, so that a leaked one is recognised. */
export const CLAIM_TOKEN_PREFIX = "slc_";

/** A token with which devices register themselves. */
export interface ClaimToken {
  id: number;
  /** Ids it may register begin so. */
  devicePrefix: string;
  deviceType: string;
  maxUses: number;
  used: number;
  expiresAt: Date;
  revokedAt: Date | null;
}

/** Why a token does not register a device. */
export type ClaimFault = "bad_token" | "expired" | "used_up" | "wrong_device" | "exists";

/** Makes a token and gives it in clear text, which is kept nowhere. */
export async function createClaimToken(
  db: Db,
  pepper: string,
  input: { uses: number; lifeMs: number; devicePrefix?: string; deviceType?: string },
): Promise<{ id: number; token: string; expiresAt: Date }> {
  const token = `${CLAIM_TOKEN_PREFIX}${createSecret(24)}`;
  const [row] = await db.query<{ id: number; expiresAt: Date }>(
    `WITH made AS (
       INSERT INTO iot.claim_tokens (token_hash, max_uses, expires_at, device_prefix, device_type)
       VALUES ($1, $2, now() + $3 * INTERVAL '1 millisecond', $4, $5) RETURNING id, expires_at),
     told AS (INSERT INTO audit.events (event_type, entity_type, entity_id, message)
       SELECT 'claim_token.created', 'claim_token', id, 'for ' || $2 || ' devices' FROM made)
     SELECT id, expires_at AS "expiresAt" FROM made`,
    [
      hashSecret(pepper, token),
      input.uses,
      input.lifeMs,
      input.devicePrefix ?? "",
      input.deviceType ?? "esp32",
    ],
  );
  if (!row) throw new Error("no claim token was made");
  return { token, ...row };
}

/** All tokens, the newest first; never their text. */
export function listClaimTokens(db: Queries): Promise<ClaimToken[]> {
  return db.query<ClaimToken>(
    `SELECT id, device_prefix AS "devicePrefix", device_type AS "deviceType", max_uses AS "maxUses", used,
            expires_at AS "expiresAt", revoked_at AS "revokedAt" FROM iot.claim_tokens ORDER BY id DESC LIMIT 1000`,
  );
}

/** Ends a token; devices it has registered stay. @throws NotFoundError */
export async function revokeClaimToken(db: Queries, id: number): Promise<void> {
  const changed = await db.execute(
    `WITH ended AS (UPDATE iot.claim_tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING id)
     INSERT INTO audit.events (event_type, entity_type, entity_id) SELECT 'claim_token.revoked', 'claim_token', id FROM ended`,
    [id],
  );
  if (changed === 0) throw new NotFoundError(`no claim token ${id}`);
}

/** Whether somebody with this token may be heard at all. */
export async function isClaimToken(db: Queries, pepper: string, token: string): Promise<boolean> {
  const rows = await db.query(
    "SELECT FROM iot.claim_tokens WHERE token_hash = $1 AND revoked_at IS NULL AND expires_at > now()",
    [hashSecret(pepper, token)],
  );
  return rows.length > 0;
}

/** Registers a device with a token: its new secrets, kept nowhere in clear text, or why not. See `iot.claim_device`. */
export async function claimDevice(
  db: Queries,
  pepper: string,
  token: string,
  device: string,
): Promise<NewDevice | ClaimFault> {
  const fresh = createDeviceSecrets(parseDeviceId(device));
  const [row] = await db.query<{ outcome: "registered" | ClaimFault }>(
    "SELECT iot.claim_device($1, $2, $3, $4, $5) AS outcome",
    [
      hashSecret(pepper, token),
      device,
      fresh.username,
      hashSecret(pepper, fresh.password),
      hashSecret(pepper, fresh.apiKey),
    ],
  );
  if (!row) throw new Error("claiming a device gave no answer");
  return row.outcome === "registered" ? { id: device, ...fresh } : row.outcome;
}
