import {
  createClaimToken,
  createFleet,
  listClaimTokens,
  listCredentialPage,
  removeCredential,
  revokeClaimToken,
  updateCredential,
  writeAudit,
} from "@sluice/db";
import { DeviceId } from "@sluice/shared-types";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { actorOf } from "../principal.ts";
import { limit, RowParams, TimeZone } from "../schemas.ts";
import type { App } from "../server.ts";
import { page } from "./registry.ts";

const Username = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, "is 1-64 letters, digits, '_', '-' or '.'");
const Page = z.strictObject({
  limit: limit(500, 100),
  cursor: Username.optional(),
  device: DeviceId.optional(),
});
const Shared = z.strictObject({
  username: Username,
  devices: z.array(DeviceId).min(1).max(10_000),
  type: z.string().min(1).max(50).default("esp32"),
  overlapSeconds: z.int().min(0).max(604_800).default(3600),
});
const Change = z.strictObject({
  status: z.enum(["active", "disabled"]).optional(),
  ackStored: z.boolean().optional(),
  timeZone: TimeZone.optional(),
});
const Claim = z.strictObject({
  uses: z.int().min(1).max(1_000_000).default(1),
  lifeSeconds: z.int().min(60).max(31_536_000).default(86_400),
  prefix: DeviceId.optional(),
  type: z.string().min(1).max(50).optional(),
});

/** Who may connect in whose name: credentials, and tokens with which devices register themselves. Secrets are shown once. */
export function addCredentialRoutes(app: App, { db, config }: Deps): void {
  const admin = { access: "admin" as const };
  const params = z.object({ username: Username });
  app.get("/api/v1/credentials", { config: admin, schema: { querystring: Page } }, async (request) => {
    const { limit: most, cursor, device } = request.query;
    const rows = await listCredentialPage(db, { after: cursor, device }, most + 1);
    return page("credentials", rows, most, ({ username }) => username);
  });
  // One for several devices; a device's own is made with it, at POST /api/v1/devices.
  app.post("/api/v1/credentials", { config: admin, schema: { body: Shared } }, async (request, reply) => {
    const { overlapSeconds, ...fleet } = request.body;
    const made = await createFleet(db, config.SLUICE_PEPPER, { ...fleet, overlapMs: overlapSeconds * 1000 });
    const actor = actorOf(request);
    const data = { ...actor.data, devices: fleet.devices };
    const entityId = fleet.username;
    await writeAudit(db, { event: "credential.made", entityType: "credential", entityId, ...actor, data });
    return reply.code(201).send({ ...made, devices: fleet.devices });
  });
  app.patch(
    "/api/v1/credentials/:username",
    { config: admin, schema: { params, body: Change } },
    async (request, reply) => {
      await updateCredential(db, request.params.username, request.body, actorOf(request));
      return reply.code(204).send();
    },
  );
  app.delete(
    "/api/v1/credentials/:username",
    { config: admin, schema: { params } },
    async (request, reply) => {
      await removeCredential(db, request.params.username, actorOf(request));
      return reply.code(204).send();
    },
  );
  app.get("/api/v1/claim-tokens", { config: admin }, async () => ({ tokens: await listClaimTokens(db) }));
  app.post("/api/v1/claim-tokens", { config: admin, schema: { body: Claim } }, async (request, reply) => {
    const { uses, lifeSeconds, prefix, type } = request.body;
    const made = await createClaimToken(db, config.SLUICE_PEPPER, {
      uses,
      lifeMs: lifeSeconds * 1000,
      ...(prefix === undefined ? {} : { devicePrefix: prefix }),
      ...(type === undefined ? {} : { deviceType: type }),
    });
    await writeAudit(db, { event: "claim_token.made", entityType: "claim_token", ...actorOf(request) });
    return reply.code(201).send(made);
  });
  app.delete(
    "/api/v1/claim-tokens/:id",
    { config: admin, schema: { params: RowParams } },
    async (request, reply) => {
      await revokeClaimToken(db, request.params.id);
      const entityId = String(request.params.id);
      await writeAudit(db, {
        event: "claim_token.ended",
        entityType: "claim_token",
        entityId,
        ...actorOf(request),
      });
      return reply.code(204).send();
    },
  );
}
