import {
  createApiKey,
  createUser,
  listApiKeys,
  listUsers,
  MIN_PASSWORD_LENGTH,
  revokeApiKey,
  updateUser,
} from "@sluice/db";
import { DeviceId } from "@sluice/shared-types";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { actorOf } from "../principal.ts";
import { RowParams } from "../schemas.ts";
import type { App } from "../server.ts";

/** A password somebody chooses. */
export const Password = z
  .string()
  .min(MIN_PASSWORD_LENGTH, `has at least ${MIN_PASSWORD_LENGTH} characters`)
  .max(1024);

const RoleName = z.enum(["viewer", "operator", "admin"]);
const NewUser = z.strictObject({
  email: z.email().max(254),
  password: Password,
  role: RoleName,
  fullName: z.string().max(255).optional(),
});
const UserChange = z.strictObject({
  role: RoleName.optional(),
  status: z.enum(["active", "disabled"]).optional(),
  password: Password.optional(),
});
const NewKey = z.strictObject({
  name: z.string().min(1).max(100),
  scopes: z
    .array(z.enum(["read", "write", "admin"]))
    .min(1)
    .max(3),
  devices: z.array(DeviceId).min(1).max(1000).optional(),
  expiresAt: z.iso.datetime({ offset: true }).optional(),
});

/** People and API keys: admins only. */
export function addAccountRoutes(app: App, { db, config }: Deps): void {
  const admin = { access: "admin" as const };
  app.get("/api/v1/users", { config: admin }, async () => ({ users: await listUsers(db) }));
  app.post("/api/v1/users", { config: admin, schema: { body: NewUser } }, async (request, reply) =>
    reply.code(201).send(await createUser(db, request.body, actorOf(request))),
  );
  app.patch(
    "/api/v1/users/:id",
    { config: admin, schema: { params: RowParams, body: UserChange } },
    async (request) => updateUser(db, request.params.id, request.body, actorOf(request)),
  );
  app.get("/api/v1/keys", { config: admin }, async () => ({ keys: await listApiKeys(db) }));
  app.post("/api/v1/keys", { config: admin, schema: { body: NewKey } }, async (request, reply) => {
    const { expiresAt, ...rest } = request.body;
    const input = { ...rest, expiresAt: expiresAt === undefined ? undefined : new Date(expiresAt) };
    return reply.code(201).send(await createApiKey(db, config.SLUICE_PEPPER, input, actorOf(request)));
  });
  app.delete("/api/v1/keys/:id", { config: admin, schema: { params: RowParams } }, async (request, reply) => {
    await revokeApiKey(db, request.params.id, actorOf(request));
    return reply.code(204).send();
  });
}
