import { listRetention, putRetention, removeRetention } from "@sluice/db";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { actorOf } from "../principal.ts";
import type { App } from "../server.ts";

const Path = z.object({
  table: z.enum(["measurement", "measurement_text", "rollup_5m", "rollup_1h", "rollup_1d"]),
  sensorType: z.string().min(1).max(100),
});
const Policy = z.strictObject({ days: z.int().min(1).max(36_500), active: z.boolean().default(true) });

/** How long what is kept. */
export function addRetentionRoutes(app: App, { db }: Deps): void {
  app.get("/api/v1/retention", { config: { access: "read" } }, async () => ({
    policies: await listRetention(db),
  }));
  app.put(
    "/api/v1/retention/:table/:sensorType",
    { config: { access: "admin" }, schema: { params: Path, body: Policy } },
    async (request, reply) => {
      await putRetention(db, { ...request.params, ...request.body }, actorOf(request));
      return reply.code(204).send();
    },
  );
  app.delete(
    "/api/v1/retention/:table/:sensorType",
    { config: { access: "admin" }, schema: { params: Path } },
    async (request, reply) => {
      await removeRetention(db, request.params.table, request.params.sensorType, actorOf(request));
      return reply.code(204).send();
    },
  );
}
