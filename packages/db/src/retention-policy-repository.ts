import { NotFoundError } from "@sluice/shared-types";
import { writeAudit } from "./audit-repository.ts";
import type { Db, Queries } from "./open-db.ts";
import type { RetainedTable } from "./retention-repository.ts";
import type { Actor } from "./user-repository.ts";

/** How long rows of a table are kept. */
export interface RetentionPolicy {
  table: RetainedTable;
  /** Name of a sensor type, or a sensor's own; `*` for all that have no policy of their own. */
  sensorType: string;
  days: number;
  active: boolean;
  lastPurge: Date | null;
  rowsPurged: number;
}

/** All policies; what none names is kept for ever. */
export function listRetention(db: Queries): Promise<RetentionPolicy[]> {
  return db.query<RetentionPolicy>(
    `SELECT table_name AS "table", sensor_type AS "sensorType", retention_days AS days, is_active AS active,
            last_purge_at AS "lastPurge", rows_purged AS "rowsPurged"
       FROM public.retention_policy ORDER BY table_name, sensor_type LIMIT 1000`,
  );
}

/** Sets a policy; the scheduler keeps to it at its next purge. */
export async function putRetention(
  db: Db,
  { table, sensorType, days, active }: Pick<RetentionPolicy, "table" | "sensorType" | "days" | "active">,
  actor: Actor = {},
): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.execute(
      `INSERT INTO public.retention_policy (table_name, sensor_type, retention_days, is_active) VALUES ($1, $2, $3, $4)
       ON CONFLICT (table_name, sensor_type) DO UPDATE SET retention_days = excluded.retention_days,
         is_active = excluded.is_active`,
      [table, sensorType, days, active],
    );
    const data = { ...actor.data, table, sensorType, days, active };
    const entityId = `${table}/${sensorType}`;
    await writeAudit(tx, { event: "retention.changed", entityType: "retention", entityId, ...actor, data });
  });
}

/** Takes a policy away: from now on nothing is deleted for it. @throws NotFoundError */
export async function removeRetention(
  db: Db,
  table: RetainedTable,
  sensorType: string,
  actor: Actor = {},
): Promise<void> {
  await db.transaction(async (tx) => {
    const gone = await tx.execute(
      "DELETE FROM public.retention_policy WHERE table_name = $1 AND sensor_type = $2",
      [table, sensorType],
    );
    if (gone === 0) throw new NotFoundError(`no policy for '${sensorType}' of ${table}`);
    const entityId = `${table}/${sensorType}`;
    await writeAudit(tx, { event: "retention.removed", entityType: "retention", entityId, ...actor });
  });
}
