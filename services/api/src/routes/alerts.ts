import { previewRule, type SensorCondition, type SensorRule } from "@sluice/analytics";
import {
  type AlertStatus,
  acknowledgeAlert,
  CONDITIONS,
  deleteAlertRule,
  deleteChannel,
  endAlert,
  findSilences,
  getAlert,
  getAlertRule,
  listAlertRules,
  listAlerts,
  listChannels,
  listNotifications,
  listQualityThresholds,
  putAlertRule,
  putChannel,
  putQualityThreshold,
  type RuleInput,
  readPast,
  SEVERITIES,
  writeAudit,
} from "@sluice/db";
import { DeviceId } from "@sluice/shared-types";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { requireDevice } from "../device-access.ts";
import { actorOf, principalOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import { FieldName, Instant, iso, limit, RowId, RowParams, rangeOf } from "../schemas.ts";
import type { App } from "../server.ts";
import { page } from "./registry.ts";

const STATES = {
  active: ["open"],
  acknowledged: ["acknowledged"],
  history: ["resolved", "dismissed"],
  all: ["open", "acknowledged", "resolved", "dismissed"],
} as const satisfies Record<string, AlertStatus[]>;
const Severity = z.enum(SEVERITIES);
const Limit = z.number().min(-1e10).max(1e10).nullable().default(null);
const Minutes = z.number().min(0).max(525_600).default(0);

const RuleFields = z.strictObject({
  name: z.string().trim().min(1).max(255),
  sensorType: FieldName.nullable().default(null),
  device: DeviceId.nullable().default(null),
  condition: z.enum(CONDITIONS),
  threshold: Limit,
  min: Limit,
  max: Limit,
  warningMargin: z.number().min(0).max(99_999).default(0),
  hysteresis: z.number().min(0).max(99_999).default(0),
  durationMinutes: Minutes,
  rateWindowMinutes: Minutes,
  severity: Severity.default("warning"),
  command: z
    .strictObject({
      type: z
        .string()
        .regex(/^[A-Za-z0-9.-][A-Za-z0-9_.-]{0,63}$/, "is 1-64 letters, digits, '_', '-' or '.'"),
      payload: z.record(z.string().max(128), z.unknown()).default({}),
    })
    .nullable()
    .default(null),
  channels: z.array(z.string().max(100)).max(50).nullable().default(null),
  escalation: z
    .array(z.strictObject({ afterMinutes: Minutes, severity: Severity }))
    .max(10)
    .nullable()
    .default(null),
  active: z.boolean().default(true),
});
/** What is wrong with a rule as a whole. */
const checkRule = (rule: z.output<typeof RuleFields>, context: z.RefinementCtx) => {
  const wrong = (path: string, message: string) =>
    context.addIssue({ code: "custom", path: [path], message });
  if (rule.condition === "device_offline") return;
  if (rule.sensorType === null) wrong("sensorType", "is the name of a sensor or of a sensor type");
  if (rule.condition !== "out_of_range") {
    if (rule.threshold === null) wrong("threshold", "is needed for this condition");
  } else if (rule.min === null || rule.max === null || rule.min >= rule.max) {
    wrong("min", "is below max; both are needed for this condition");
  }
};
const Rule = RuleFields.superRefine(checkRule);

/** Alerts, the rules that raise them, and who is told. */
export function addAlertRoutes(app: App, deps: Deps): void {
  addListRoutes(app, deps);
  addRuleRoutes(app, deps);
  addPreviewRoute(app, deps);
  addChannelRoutes(app, deps);
  addQualityRoutes(app, deps);
}

function addListRoutes(app: App, { db }: Deps): void {
  const Filter = z.strictObject({
    limit: limit(500, 100),
    cursor: RowId.optional(),
    state: z.enum(["active", "acknowledged", "history", "all"]).default("all"),
    severity: Severity.optional(),
    device: DeviceId.optional(),
    rule: RowId.optional(),
  });
  app.get(
    "/api/v1/alerts",
    { config: { access: "read" }, schema: { querystring: Filter } },
    async (request) => {
      const { limit: most, cursor, state, severity, device, rule } = request.query;
      if (device !== undefined) requireDevice(request, device);
      const filter = { status: STATES[state], severity, device, ruleId: rule, beforeId: cursor };
      const only = principalOf(request).devices;
      return page("alerts", await listAlerts(db, { ...filter, only }, most + 1), most, ({ id }) => id);
    },
  );
  app.get(
    "/api/v1/alerts/:id",
    { config: { access: "read" }, schema: { params: RowParams } },
    async (request) => {
      const alert = await seeAlert(request, request.params.id);
      return { ...alert, notifications: await listNotifications(db, { alertId: alert.id }, 100) };
    },
  );
  const End = z
    .strictObject({ notes: z.string().max(2000).nullable().default(null) })
    .default({ notes: null });
  app.post(
    "/api/v1/alerts/:id/acknowledge",
    { config: { access: "write" }, schema: { params: RowParams } },
    async (request) => {
      const { id } = await seeAlert(request, request.params.id);
      const principal = principalOf(request);
      const by =
        principal.kind === "person" ? { userId: principal.id, name: principal.email } : { name: "a program" };
      return settle(request, id, "acknowledged", await acknowledgeAlert(db, id, by));
    },
  );
  for (const [verb, status] of [
    ["resolve", "resolved"],
    ["dismiss", "dismissed"],
  ] as const) {
    app.post(
      `/api/v1/alerts/:id/${verb}`,
      { config: { access: "write" }, schema: { params: RowParams, body: End } },
      async (request) => {
        const { id } = await seeAlert(request, request.params.id);
        return settle(request, id, status, await endAlert(db, id, status, request.body.notes));
      },
    );
  }

  async function seeAlert(request: FastifyRequest, id: number) {
    const alert = await getAlert(db, id);
    if (alert.device !== null) requireDevice(request, alert.device);
    return alert;
  }
  async function settle(request: FastifyRequest, id: number, what: string, changed: boolean) {
    const alert = await getAlert(db, id);
    if (!changed) throw new Refusal(409, `the alert is ${alert.status} already`, { code: "conflict" });
    await note({ db }, request, `alert.${what}`, id);
    return alert;
  }
}

const note = (
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

function addRuleRoutes(app: App, { db }: Deps): void {
  const read = { config: { access: "read" as const } };
  const write = { access: "write" as const };
  app.get("/api/v1/alerts/rules", read, async () => ({ rules: await listAlertRules(db) }));
  app.get("/api/v1/alerts/rules/:id", { ...read, schema: { params: RowParams } }, (request) =>
    getAlertRule(db, request.params.id),
  );
  app.post("/api/v1/alerts/rules", { config: write, schema: { body: Rule } }, async (request, reply) => {
    seeAll(request);
    const rule = await putAlertRule(db, request.body);
    await note({ db }, request, "rule.created", rule.id, request.body);
    return reply.code(201).send(rule);
  });
  app.put(
    "/api/v1/alerts/rules/:id",
    { config: write, schema: { params: RowParams, body: Rule } },
    async (request) => {
      seeAll(request);
      const rule = await putAlertRule(db, request.body, request.params.id);
      await note({ db }, request, "rule.changed", rule.id, request.body);
      return rule;
    },
  );
  app.delete(
    "/api/v1/alerts/rules/:id",
    { config: write, schema: { params: RowParams } },
    async (request, reply) => {
      seeAll(request);
      await deleteAlertRule(db, request.params.id);
      await note({ db }, request, "rule.deleted", request.params.id);
      return reply.code(204).send();
    },
  );
}

/** Rules and channels are everybody's: a key that is limited to devices does not change them. */
function seeAll(request: FastifyRequest): void {
  if (principalOf(request).devices !== null) throw new Refusal(403, "this key is limited to its devices");
}

const DAY_MS = 86_400_000;
const PREVIEW_SENSORS = 20;
const PREVIEW_READINGS = 100_000;
const PREVIEW_EPISODES = 1000;
const SILENT_MINUTES = 5;

function addPreviewRoute(app: App, { db }: Deps): void {
  const Preview = z.strictObject({ rule: Rule, from: Instant.optional(), to: Instant.optional() });
  app.post(
    "/api/v1/alerts/preview",
    { config: { access: "read" }, schema: { body: Preview } },
    async (request) => {
      seeAll(request);
      const { rule, ...asked } = request.body;
      const range = rangeOf(asked, 7 * DAY_MS);
      if (!range) throw new Refusal(400, "from: is before to", { code: "invalid" });
      const stretch = { from: new Date(range.fromUs / 1000), to: new Date(range.toUs / 1000) };
      const head = { from: iso(range.fromUs), to: iso(range.toUs) };
      if (rule.condition === "device_offline") {
        const minutes = rule.durationMinutes || SILENT_MINUTES;
        const silences = await findSilences(db, rule.device, stretch, { minutes, limit: PREVIEW_EPISODES });
        const alerts = silences.map(({ device, from, to }) => ({
          ...{ device, sensor: null, since: from, end: to, preventive: false, peak: null },
          raised: new Date(from.getTime() + minutes * 60_000),
        }));
        return { ...head, sensors: null, readings: null, cut: silences.length === PREVIEW_EPISODES, alerts };
      }
      const limits = { maxSensors: PREVIEW_SENSORS, maxReadings: PREVIEW_READINGS };
      const past = await readPast(db, rule, stretch, limits);
      const alerts = past.flatMap(({ device, sensor, readings }) =>
        previewRule(toSensorRule(rule, rule.condition as SensorCondition), readings).map((episode) => ({
          ...{ device, sensor, since: iso(episode.sinceUs), raised: iso(episode.raisedUs) },
          end: episode.endUs === null ? null : iso(episode.endUs),
          preventive: episode.level === 1,
          peak: episode.peak,
        })),
      );
      return {
        ...head,
        sensors: past.length,
        readings: past.reduce((sum, { readings }) => sum + readings.length, 0),
        cut:
          past.length === PREVIEW_SENSORS || past.some(({ cut }) => cut) || alerts.length > PREVIEW_EPISODES,
        alerts: alerts.slice(0, PREVIEW_EPISODES),
      };
    },
  );
}

const toSensorRule = (rule: RuleInput, condition: SensorCondition): SensorRule => ({
  ...rule,
  condition,
  durationUs: rule.durationMinutes * 60e6,
  rateWindowUs: rule.rateWindowMinutes * 60e6,
});

function addChannelRoutes(app: App, { db }: Deps): void {
  const Channel = z
    .strictObject({
      kind: z.enum(["email", "webhook", "mqtt"]),
      target: z.string().max(2000).default(""),
      minSeverity: Severity.default("info"),
      active: z.boolean().default(true),
    })
    .superRefine(({ kind, target }, context) => {
      const wrong = (message: string) => context.addIssue({ code: "custom", path: ["target"], message });
      const protocol = URL.canParse(target) ? new URL(target).protocol : "";
      if (kind === "webhook" && protocol !== "http:" && protocol !== "https:")
        wrong("is a URL, http:// or https://");
      const addresses = target.split(",").every((one) => z.email().safeParse(one.trim()).success);
      if (kind === "email" && !addresses) wrong("is one or more e-mail addresses, separated by commas");
      if (kind === "mqtt" && target !== "") wrong("is empty: MQTT goes to system/alerts");
    });
  const Name = z.object({ name: z.string().regex(/^[A-Za-z0-9_.-]{1,100}$/) });
  app.get("/api/v1/alerts/channels", { config: { access: "admin" } }, async () => ({
    channels: await listChannels(db),
  }));
  app.put(
    "/api/v1/alerts/channels/:name",
    { config: { access: "admin" }, schema: { params: Name, body: Channel } },
    async (request) => {
      const channel = await putChannel(db, { name: request.params.name, ...request.body });
      await note({ db }, request, "channel.changed", channel.name, { kind: channel.kind });
      return channel;
    },
  );
  app.delete(
    "/api/v1/alerts/channels/:name",
    { config: { access: "admin" }, schema: { params: Name } },
    async (request, reply) => {
      await deleteChannel(db, request.params.name);
      await note({ db }, request, "channel.deleted", request.params.name);
      return reply.code(204).send();
    },
  );
}

function addQualityRoutes(app: App, { db }: Deps): void {
  const Bound = z.number().nullable().default(null);
  const Positive = z.number().positive().nullable().default(null);
  const Limits = z
    .strictObject({
      min: Bound,
      max: Bound,
      spike: Positive,
      ratePerMinute: Positive,
      flatCount: z.int().min(2).max(1_000_000).nullable().default(null),
      flatMinutes: Minutes,
      gapSeconds: Positive,
    })
    .refine(({ min, max }) => min === null || max === null || min < max, {
      path: ["min"],
      message: "is below max",
    });
  const Type = z.object({ type: FieldName });
  app.get("/api/v1/quality/thresholds", { config: { access: "read" } }, async () => ({
    thresholds: await listQualityThresholds(db),
  }));
  app.put(
    "/api/v1/quality/thresholds/:type",
    { config: { access: "write" }, schema: { params: Type, body: Limits } },
    async (request) => {
      seeAll(request);
      const limits = { sensorType: request.params.type, ...request.body };
      await putQualityThreshold(db, limits);
      await note({ db }, request, "quality.changed", request.params.type, request.body);
      return limits;
    },
  );
}
