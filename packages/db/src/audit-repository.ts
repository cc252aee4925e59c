import type { Queries } from "./open-db.ts";

/** Who did what to what. Secrets do not belong in `data`. */
export interface AuditEntry {
  event: string;
  severity?: "info" | "warning";
  entityType?: string;
  entityId?: string;
  userId?: number;
  message?: string;
  data?: object;
  address?: string;
}

/** A line of the audit log. */
export interface AuditEvent {
  id: number;
  event: string;
  severity: string;
  entityType: string | null;
  entityId: string | null;
  userId: number | null;
  email: string | null;
  message: string | null;
  data: unknown;
  address: string | null;
  at: Date;
}

/** Writes a line of the audit log; in a transaction, together with the change it tells of. */
export async function writeAudit(db: Queries, entry: AuditEntry): Promise<void> {
  await db.execute(
    `INSERT INTO audit.events (event_type, severity, entity_type, entity_id, user_id, message, data, ip_address)
     VALUES ($1, $2, $3, $4, (SELECT id FROM core.users WHERE id = $5), $6, $7, $8::inet)`,
    [
      entry.event,
      entry.severity ?? "info",
      entry.entityType ?? null,
      entry.entityId ?? null,
      entry.userId ?? null,
      entry.message ?? null,
      entry.data === undefined ? null : JSON.stringify(entry.data),
      entry.address ?? null,
    ],
  );
}

/** The newest `limit` lines before `beforeId`, of one event or entity where named. */
export function listAudit(
  db: Queries,
  filter: { event?: string | undefined; entityId?: string | undefined; beforeId?: number | undefined },
  limit: number,
): Promise<AuditEvent[]> {
  return db.query<AuditEvent>(
    `SELECT e.id, e.event_type AS event, e.severity, e.entity_type AS "entityType", e.entity_id AS "entityId",
            e.user_id AS "userId", u.email, e.message, e.data, host(e.ip_address) AS address, e.created_at AS at
       FROM audit.events e LEFT JOIN core.users u ON u.id = e.user_id
      WHERE ($1::text IS NULL OR e.event_type = $1) AND ($2::text IS NULL OR e.entity_id = $2)
        AND ($3::int8 IS NULL OR e.id < $3)
      ORDER BY e.id DESC LIMIT $4`,
    [filter.event ?? null, filter.entityId ?? null, filter.beforeId ?? null, limit],
  );
}
