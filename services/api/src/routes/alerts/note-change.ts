import { writeAudit } from "@sluice/db";
import type { FastifyRequest } from "fastify";
import type { Deps } from "../../deps.ts";
import { actorOf, principalOf } from "../../principal.ts";
import { Refusal } from "../../refusal.ts";

/** Writes into the audit log who changed what: `event` begins with what it is of. */
export const noteChange = (
  { db }: Pick<Deps, "db">,
  request: FastifyRequest,
  event: string,
  id: number | string,
  data: object = {},
) => {
  const actor = actorOf(request);
  return writeAudit(db, {
    event,
    entityType: event.split(".")[0] ?? event,
    entityId: String(id),
    ...actor,
    data: { ...actor.data, ...data },
  });
};

/** Rules and channels are everybody's: a key that is limited to devices does not change them. */
export function requireAll(request: FastifyRequest): void {
  if (principalOf(request).devices !== null) throw new Refusal(403, "this key is limited to its devices");
}
