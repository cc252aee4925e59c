import { NotFoundError } from "@sluice/shared-types";
import { type AuditEntry, writeAudit } from "./audit-repository.ts";
import type { Db } from "./open-db.ts";
import type { Actor } from "./user-repository.ts";

/** Where a change goes: a table, its key, and the columns by the names they are given under. */
interface Target {
  table: string;
  key: string;
  columns: Record<string, string>;
}

/** Sets what is given, with a line in the audit log. Columns come from `target`, never from outside. */
export async function applyChange(
  db: Db,
  entity: string,
  id: string | number,
  change: object,
  actor: Actor,
  target: Target,
): Promise<void> {
  const given = Object.entries(change).filter(
    ([name, value]) => value !== undefined && name in target.columns,
  );
  await db.transaction(async (tx) => {
    const sets = given.map(([name], i) => `${target.columns[name]} = $${i + 2}`);
    const where = entity === "device" ? "AND removed_at IS NULL" : "";
    const changed = await tx.execute(
      `UPDATE ${target.table} SET ${[`${target.key} = ${target.key}`, ...sets].join(", ")} WHERE ${target.key} = $1 ${where}`,
      [id, ...given.map(([, value]) => value)],
    );
    if (changed === 0) throw new NotFoundError(`no ${entity} '${id}'`);
    const entry: AuditEntry = { event: `${entity}.changed`, entityType: entity, entityId: `${id}`, ...actor };
    await writeAudit(tx, { ...entry, data: { ...actor.data, change: Object.fromEntries(given) } });
  });
}
