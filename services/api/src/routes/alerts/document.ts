import {
  type AlertRule,
  CONDITIONS,
  deleteAlertRule,
  getAlertRule,
  listAlertRules,
  listEscalations,
  listNotifications,
  putAlertRule,
  type RuleInput,
} from "@sluice/db";
import { DeviceId } from "@sluice/shared-types";
import { z } from "zod";
import type { Deps } from "../../deps.ts";
import { Refusal } from "../../refusal.ts";
import { FieldName, limit, RowId, RowParams } from "../../schemas.ts";
import type { App } from "../../server.ts";
import { noteChange, requireAll } from "./note-change.ts";
import { Rule, RuleFields, Severity } from "./rule.ts";

const Bound = z.number().nullable();
/** Columns of document A's `alert.rules` that may be sent; `device` is the code of a device. */
const Columns = z
  .strictObject({
    name: z.string(),
    sensor_type: FieldName.nullable(),
    device: DeviceId.nullable(),
    condition_type: z.enum(CONDITIONS),
    threshold: Bound,
    threshold_min: Bound,
    threshold_max: Bound,
    warning_margin: z.number(),
    duration_minutes: z.number(),
    severity: Severity,
    is_active: z.boolean(),
  })
  .partial();
type Column = keyof z.output<typeof Columns>;

const FIELD_OF = {
  name: "name",
  sensor_type: "sensorType",
  device: "device",
  condition_type: "condition",
  threshold: "threshold",
  threshold_min: "min",
  threshold_max: "max",
  warning_margin: "warningMargin",
  duration_minutes: "durationMinutes",
  severity: "severity",
  is_active: "active",
} as const satisfies Record<Column, keyof RuleInput>;
const COLUMNS = Object.keys(FIELD_OF) as Column[];

/**
 * Document A's routes of rules, notifications and escalation, in the columns of its tables `alert.rules`,
 * `alert.notification_log` and `alert.escalations`.
 */
export function addDocumentRoutes(app: App, { db }: Deps): void {
  const read = { access: "read" as const };
  const write = { access: "write" as const };
  app.get("/api/rules", { config: read }, async () => {
    const rules = (await listAlertRules(db)).map(toColumns);
    return { rules, count: rules.length };
  });
  app.get("/api/rules/:id", { config: read, schema: { params: RowParams } }, async (request) =>
    toColumns(await getAlertRule(db, request.params.id)),
  );
  app.post("/api/rules", { config: write, schema: { body: Columns } }, async (request, reply) => {
    requireAll(request);
    const rule = await putAlertRule(db, toRule(request.body, {}));
    await noteChange({ db }, request, "rule.created", rule.id, request.body);
    return reply.code(201).send(toColumns(rule));
  });
  app.put(
    "/api/rules/:id",
    { config: write, schema: { params: RowParams, body: Columns } },
    async (request) => {
      requireAll(request);
      const { id } = request.params;
      const rule = await putAlertRule(db, toRule(request.body, await getAlertRule(db, id)), id);
      await noteChange({ db }, request, "rule.changed", id, request.body);
      return toColumns(rule);
    },
  );
  app.delete("/api/rules/:id", { config: write, schema: { params: RowParams } }, async (request) => {
    requireAll(request);
    const { id } = request.params;
    await deleteAlertRule(db, id);
    await noteChange({ db }, request, "rule.deleted", id);
    return { status: "deleted", id };
  });
  const Page = z.strictObject({ limit: limit(500, 100), cursor: RowId.optional() });
  app.get("/api/notifications", { config: read, schema: { querystring: Page } }, async (request) => {
    requireAll(request);
    const lines = await listNotifications(db, { beforeId: request.query.cursor }, request.query.limit);
    const notifications = lines.map(({ alertId, error, createdAt, sentAt, ...line }) => ({
      ...line,
      alert_id: alertId,
      error_message: error,
      created_at: createdAt,
      sent_at: sentAt,
    }));
    return { notifications, count: notifications.length };
  });
  app.get("/api/escalation", { config: read }, async () => {
    const steps = await listEscalations(db);
    return {
      escalation: steps.map(({ ruleId, level, afterMinutes, severity }) => ({
        rule_id: ruleId,
        level,
        after_minutes: afterMinutes,
        severity,
      })),
    };
  });
}

/** What is sent, over what was there before. @throws Refusal in the names of the columns */
function toRule(columns: z.output<typeof Columns>, before: Partial<AlertRule>): RuleInput {
  const kept = Object.entries(before).filter(([field]) => field in RuleFields.shape);
  const sent = COLUMNS.filter((column) => columns[column] !== undefined);
  const fields = sent.map((column) => [FIELD_OF[column], columns[column]]);
  const rule = Rule.safeParse(Object.fromEntries([...kept, ...fields]));
  if (rule.success) return rule.data;
  const errors = rule.error.issues.map(({ path, message }) => ({
    field: COLUMNS.find((column) => FIELD_OF[column] === path[0]) ?? path.join("."),
    message,
  }));
  const detail = errors.map(({ field, message }) => `${field}: ${message}`).join("; ");
  throw new Refusal(400, detail, { code: "invalid", errors });
}

function toColumns(rule: AlertRule) {
  const columns = Object.fromEntries(COLUMNS.map((column) => [column, rule[FIELD_OF[column]]]));
  const { channels, command, hysteresis, escalation } = rule;
  return {
    id: rule.id,
    facility_id: rule.facilityId,
    ...columns,
    config: { channels, command, hysteresis, escalation },
    created_at: rule.createdAt,
    updated_at: rule.updatedAt,
  };
}
