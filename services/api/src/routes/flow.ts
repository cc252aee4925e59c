import {
  countQuarantine,
  discardQuarantined,
  fixQuarantined,
  getQuarantined,
  listAudit,
  listQuarantine,
  listTotals,
  type Quarantined,
  writeAudit,
} from "@sluice/db";
import { replayRefusals } from "@sluice/quarantine";
import { DeviceId, REASONS, streamKey } from "@sluice/shared-types";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { actorOf, principalOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import { Instant, iso, limit, RowId, RowParams } from "../schemas.ts";
import type { App } from "../server.ts";
import { page } from "./registry.ts";

/** How the path runs: lag, ledger, quarantine and the audit log. */
export function addFlowRoutes(app: App, deps: Deps): void {
  const { bus, db, config } = deps;
  const streams = Array.from({ length: config.SLUICE_PARTITIONS }, (_, i) => streamKey("telemetry", i));
  const read = { config: { access: "read" as const } };
  app.get("/api/v1/lag", read, async () => ({ streams: await Promise.all(streams.map((s) => bus.lag(s))) }));
  app.get("/api/v1/ledger", read, async () => ({
    streams: await Promise.all(streams.map(async (stream) => ({ stream, groups: await bus.ledger(stream) }))),
    stored: await listTotals(db),
  }));
  const Audit = z.strictObject({
    limit: limit(500, 50),
    cursor: RowId.optional(),
    event: z.string().max(100).optional(),
    entity: z.string().max(100).optional(),
  });
  app.get(
    "/api/v1/audit",
    { config: { access: "admin" }, schema: { querystring: Audit } },
    async (request) => {
      const { limit: most, cursor, event, entity } = request.query;
      const rows = await listAudit(db, { event, entityId: entity, beforeId: cursor }, most + 1);
      return page("events", rows, most, ({ id }) => id);
    },
  );
  addQuarantineRoutes(app, deps);
}

const Filter = z.strictObject({
  limit: limit(200, 50),
  cursor: RowId.optional(),
  reason: z.enum(REASONS).optional(),
  device: DeviceId.optional(),
  since: Instant.optional(),
  status: z.enum(["open", "fixed", "replayed", "discarded"]).optional(),
});
const Ids = z.strictObject({ ids: z.array(z.int().positive()).min(1).max(1000) });
const Replay = z.strictObject({
  ids: z.array(z.int().positive()).min(1).max(1000).optional(),
  reason: z.enum(REASONS).optional(),
  device: DeviceId.optional(),
  limit: z.int().min(1).max(1000).default(200),
  replace: z.boolean().default(false),
  dryRun: z.boolean().default(false),
});
const Fix = z.strictObject({
  payload: z.string().max(65_536).optional(),
  device: DeviceId.optional(),
  type: z
    .string()
    .regex(/^[A-Za-z0-9.-][A-Za-z0-9_.-]{0,63}$/)
    .optional(),
});

function addQuarantineRoutes(app: App, { db, bus, config }: Deps): void {
  const seeAll = (request: Parameters<typeof principalOf>[0]) => {
    if (principalOf(request).devices !== null) throw new Refusal(403, "this key is limited to its devices");
  };
  app.get(
    "/api/v1/quarantine",
    { config: { access: "read" }, schema: { querystring: Filter } },
    async (request) => {
      seeAll(request);
      const { limit: most, cursor, reason, device, since, status } = request.query;
      const filter = {
        ...(reason === undefined ? {} : { reason }),
        ...(device === undefined ? {} : { device }),
        ...(since === undefined ? {} : { since: new Date(since / 1000) }),
        status: [status ?? "open", ...(status === undefined ? (["fixed"] as const) : [])],
      };
      const within = cursor === undefined ? filter : { ...filter, afterId: cursor };
      const rows = await listQuarantine(db, within, { limit: most + 1, oldestFirst: true });
      return {
        ...page("refusals", rows.map(summaryOf), most, ({ id }) => id),
        counts: await countQuarantine(db, filter),
      };
    },
  );
  app.get(
    "/api/v1/quarantine/:id",
    { config: { access: "read" }, schema: { params: RowParams } },
    async (request) => {
      seeAll(request);
      const row = await getQuarantined(db, request.params.id);
      return {
        ...summaryOf(row),
        payload: row.payload.toString("utf8"),
        payloadBase64: row.payload.toString("base64"),
      };
    },
  );
  app.patch(
    "/api/v1/quarantine/:id",
    { config: { access: "write" }, schema: { params: RowParams, body: Fix } },
    async (request) => {
      seeAll(request);
      const { payload, device, type } = request.body;
      await fixQuarantined(db, request.params.id, {
        ...(payload === undefined ? {} : { payload }),
        ...(device === undefined ? {} : { device }),
        ...(type === undefined ? {} : { type }),
      });
      await note(request, "quarantine.fix", { id: request.params.id });
      return summaryOf(await getQuarantined(db, request.params.id));
    },
  );
  app.post(
    "/api/v1/quarantine/discard",
    { config: { access: "write" }, schema: { body: Ids } },
    async (request) => {
      seeAll(request);
      const discarded = await discardQuarantined(db, request.body.ids);
      await note(request, "quarantine.discard", { discarded });
      return { discarded };
    },
  );
  app.post(
    "/api/v1/quarantine/replay",
    { config: { access: "write" }, schema: { body: Replay } },
    async (request) => {
      seeAll(request);
      const { ids, reason, device, limit: most, replace, dryRun } = request.body;
      if (ids === undefined && reason === undefined && device === undefined) {
        throw new Refusal(400, "ids: name ids, a reason or a device", { code: "invalid" });
      }
      const filter = {
        ...(ids === undefined ? {} : { ids }),
        ...(reason === undefined ? {} : { reason }),
        ...(device === undefined ? {} : { device }),
      };
      const report = await replayRefusals(bus, db, filter, {
        limit: most,
        topicRoot: config.SLUICE_TOPIC_ROOT,
        partitions: config.SLUICE_PARTITIONS,
        replace,
        named: ids !== undefined,
        trust: reason !== undefined,
        dryRun,
        signal: AbortSignal.timeout(20_000),
      });
      if (!dryRun) await note(request, "quarantine.replay", { filter, replayed: report.replayed });
      return { ...report, dryRun };
    },
  );
  const note = (request: Parameters<typeof principalOf>[0], event: string, data: object) => {
    const actor = actorOf(request);
    return writeAudit(db, { event, entityType: "quarantine", ...actor, data: { ...actor.data, ...data } });
  };
}

const summaryOf = ({ payload, receivedUs, receivedAt: _, ...row }: Quarantined) => ({
  ...row,
  receivedAt: iso(receivedUs),
  bytes: payload.length,
});
