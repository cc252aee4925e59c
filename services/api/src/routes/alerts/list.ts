import {
  type AlertStatus,
  acknowledgeAlert,
  endAlert,
  getAlert,
  listAlerts,
  listNotifications,
} from "@sluice/db";
import { DeviceId } from "@sluice/shared-types";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { Deps } from "../../deps.ts";
import { requireDevice } from "../../device-access.ts";
import { principalOf } from "../../principal.ts";
import { Refusal } from "../../refusal.ts";
import { limit, RowId, RowParams } from "../../schemas.ts";
import type { App } from "../../server.ts";
import { page } from "../registry.ts";
import { noteChange } from "./note-change.ts";
import { Severity } from "./rule.ts";

const STATES = {
  active: ["open"],
  acknowledged: ["acknowledged"],
  history: ["resolved", "dismissed"],
  all: ["open", "acknowledged", "resolved", "dismissed"],
} as const satisfies Record<string, AlertStatus[]>;

/** Alerts: a list, one with who was told, and what people do about it. */
export function addListRoutes(app: App, { db }: Deps): void {
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
    await noteChange({ db }, request, `alert.${what}`, id);
    return alert;
  }
}
