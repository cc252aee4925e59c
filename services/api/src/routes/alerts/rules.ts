import { deleteAlertRule, getAlertRule, listAlertRules, putAlertRule } from "@sluice/db";
import type { Deps } from "../../deps.ts";
import { RowParams } from "../../schemas.ts";
import type { App } from "../../server.ts";
import { noteChange, requireAll } from "./note-change.ts";
import { Rule } from "./rule.ts";

/** What alerts are raised by. */
export function addRuleRoutes(app: App, { db }: Deps): void {
  const read = { config: { access: "read" as const } };
  const write = { access: "write" as const };
  app.get("/api/v1/alerts/rules", read, async () => ({ rules: await listAlertRules(db) }));
  app.get("/api/v1/alerts/rules/:id", { ...read, schema: { params: RowParams } }, (request) =>
    getAlertRule(db, request.params.id),
  );
  app.post("/api/v1/alerts/rules", { config: write, schema: { body: Rule } }, async (request, reply) => {
    requireAll(request);
    const rule = await putAlertRule(db, request.body);
    await noteChange({ db }, request, "rule.created", rule.id, request.body);
    return reply.code(201).send(rule);
  });
  app.put(
    "/api/v1/alerts/rules/:id",
    { config: write, schema: { params: RowParams, body: Rule } },
    async (request) => {
      requireAll(request);
      const rule = await putAlertRule(db, request.body, request.params.id);
      await noteChange({ db }, request, "rule.changed", rule.id, request.body);
      return rule;
    },
  );
  app.delete(
    "/api/v1/alerts/rules/:id",
    { config: write, schema: { params: RowParams } },
    async (request, reply) => {
      requireAll(request);
      await deleteAlertRule(db, request.params.id);
      await noteChange({ db }, request, "rule.deleted", request.params.id);
      return reply.code(204).send();
    },
  );
}
