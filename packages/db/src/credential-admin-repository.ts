import { NotFoundError } from "@sluice/shared-types";
import { writeAudit } from "./audit-repository.ts";
import { CREDENTIALS_CHANNEL } from "./credential-repository.ts";
import type { Db, Queries } from "./open-db.ts";
import type { Actor } from "./user-repository.ts";

/** A credential as people see it: none of its secrets can be. */
export interface CredentialOverview {
  username: string;
  devices: string[];
  status: "active" | "disabled";
  /** Acknowledges on `/ack` once stored. */
  ackStored: boolean;
  timeZone: string;
  createdAt: Date;
  updatedAt: Date;
}

/** Credentials by name after one, of a device where named. */
export function listCredentialPage(
  db: Queries,
  filter: { after?: string | undefined; device?: string | undefined },
  limit: number,
): Promise<CredentialOverview[]> {
  return db.query<CredentialOverview>(
    `SELECT c.username, c.status, c.ack_stored AS "ackStored", c.time_zone AS "timeZone",
            c.created_at AS "createdAt", c.updated_at AS "updatedAt",
            coalesce((SELECT array_agg(d.device_code::text ORDER BY d.device_code) FROM iot.credential_devices o
                        JOIN iot.devices d ON d.id = o.device_id WHERE o.credential_id = c.id), '{}') AS devices
       FROM iot.credentials c
      WHERE ($1::text IS NULL OR c.username > $1)
        AND ($2::text IS NULL OR EXISTS (SELECT FROM iot.credential_devices o JOIN iot.devices d ON d.id = o.device_id
                                          WHERE o.credential_id = c.id AND d.device_code = $2))
      ORDER BY c.username LIMIT $3`,
    [filter.after ?? null, filter.device ?? null, limit],
  );
}

/** What can be changed of a credential. */
export interface CredentialChange {
  status?: "active" | "disabled" | undefined;
  ackStored?: boolean | undefined;
  timeZone?: string | undefined;
}

/** Changes a credential; gateways hear of it at once. @throws NotFoundError */
export async function updateCredential(
  db: Db,
  username: string,
  { status, ackStored, timeZone }: CredentialChange,
  actor: Actor,
): Promise<void> {
  await db.transaction(async (tx) => {
    const changed = await tx.execute(
      `UPDATE iot.credentials SET status = coalesce($2, status), ack_stored = coalesce($3, ack_stored),
              time_zone = coalesce($4, time_zone), updated_at = now() WHERE username = $1`,
      [username, status ?? null, ackStored ?? null, timeZone ?? null],
    );
    if (changed === 0) throw new NotFoundError(`no credential '${username}'`);
    await announce(tx, "credential.changed", username, actor, { status, ackStored, timeZone });
  });
}

/** Takes a credential away: whoever uses it is cut off. Its devices and what they sent stay. @throws NotFoundError */
export async function removeCredential(db: Db, username: string, actor: Actor): Promise<void> {
  await db.transaction(async (tx) => {
    const gone = await tx.execute("DELETE FROM iot.credentials WHERE username = $1", [username]);
    if (gone === 0) throw new NotFoundError(`no credential '${username}'`);
    await announce(tx, "credential.removed", username, actor, {});
  });
}

async function announce(tx: Queries, event: string, username: string, actor: Actor, change: object) {
  await tx.query("SELECT pg_notify($1, $2)", [CREDENTIALS_CHANNEL, username]);
  const data = { ...actor.data, change };
  await writeAudit(tx, { event, entityType: "credential", entityId: username, ...actor, data });
}
