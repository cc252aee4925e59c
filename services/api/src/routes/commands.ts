import { announceCommands } from "@sluice/bus";
import {
  type Command,
  cancelCommand,
  createCommand,
  createFleetCommand,
  getCommand,
  getDeviceConfig,
  listCommands,
  listFleetGroups,
  putDeviceConfig,
  putFleetGroup,
  removeFleetGroup,
  writeAudit,
} from "@sluice/db";
import { DeviceId, OutageError } from "@sluice/shared-types";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { requireDevice } from "../device-access.ts";
import { actorOf, principalOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import { DeviceParams, limit, RowId, RowParams } from "../schemas.ts";
import type { App } from "../server.ts";
import { page } from "./registry.ts";

const MAX_LIFE_S = 30 * 86_400;
const MAX_PAYLOAD_BYTES = 32 * 1024;

/** Last level of a command's topic. */
export const CommandType = z.string().regex(/^[A-Za-z0-9.-][A-Za-z0-9_.-]{0,63}$/, "is a topic level");
/** What a command says: small enough for any device's packet buffer to be worth trying. */
export const CommandPayload = z
  .record(z.string(), z.unknown())
  .refine(
    (payload) => Buffer.byteLength(JSON.stringify(payload)) <= MAX_PAYLOAD_BYTES,
    `has at most ${MAX_PAYLOAD_BYTES} bytes`,
  );
const NewCommand = z.strictObject({
  type: CommandType,
  payload: CommandPayload.default({}),
  expiresInSeconds: z.int().min(1).max(MAX_LIFE_S).default(300),
  priority: z.int().min(1).max(10).default(5),
});
const List = z.strictObject({
  limit: limit(500, 50),
  cursor: RowId.optional(),
  device: DeviceId.optional(),
  group: DeviceId.optional(),
  status: z.enum(["pending", "sent", "delivered", "executed", "failed", "timeout"]).optional(),
});
const GroupParams = z.object({ group: DeviceId });
const GroupBody = z.strictObject({
  devices: z.array(DeviceId).max(10_000),
  description: z.string().max(500).nullable().default(null),
});

/** What is asked of a device or group. */
export interface CommandRequest {
  type: string;
  payload: object;
  expiresInSeconds?: number | undefined;
  priority?: number | undefined;
}

/** Makes commands, tells the gateways and the audit log. */
export function createSendCommand({ db, bus, log }: Pick<Deps, "db" | "bus" | "log">) {
  const tell = async (news: Parameters<typeof announceCommands>[1]) => {
    // Kept already: the gateways find it by themselves within seconds.
    await announceCommands(bus, news).catch((error: unknown) => {
      if (!(error instanceof OutageError)) throw error;
      log.warn({ err: error }, "gateways could not be told of a command");
    });
  };
  const shape = (request: FastifyRequest, { type, payload, expiresInSeconds, priority }: CommandRequest) => {
    const { userId } = actorOf(request);
    const lifeMs = expiresInSeconds === undefined ? undefined : expiresInSeconds * 1000;
    return { type, payload, lifeMs, priority, userId, source: "api" as const };
  };
  const note = (request: FastifyRequest, entityType: string, entityId: string, data: object) => {
    const actor = actorOf(request);
    return writeAudit(db, {
      event: "command.sent",
      entityType,
      entityId,
      ...actor,
      data: { ...actor.data, ...data },
    });
  };
  return {
    tell,
    async toDevice(request: FastifyRequest, device: string, wanted: CommandRequest): Promise<Command> {
      requireDevice(request, device);
      const command = await createCommand(db, { device, ...shape(request, wanted) });
      await note(request, "device", device, { command: command.id, type: wanted.type });
      await tell({ devices: [device] });
      return command;
    },
    async toFleet(request: FastifyRequest, group: string, wanted: CommandRequest): Promise<Command[]> {
      if (principalOf(request).devices !== null)
        throw new Refusal(403, "this key is limited to its devices", { code: "not_authorised" });
      const parts = await createFleetCommand(db, { group, ...shape(request, wanted) });
      await note(request, "fleet", group, { command: parts[0]?.wireId, type: wanted.type });
      await tell({ devices: parts.map(({ device }) => device) });
      return parts;
    },
  };
}

const write = { access: "write" as const };

/** Commands to devices and groups, and what devices shall be set to. */
export function addCommandRoutes(app: App, deps: Deps): void {
  const { db } = deps;
  const send = createSendCommand(deps);
  app.post(
    "/api/v1/devices/:id/commands",
    { config: write, schema: { params: DeviceParams, body: NewCommand } },
    async (request, reply) =>
      reply.code(202).send(await send.toDevice(request, request.params.id, request.body)),
  );
  app.get(
    "/api/v1/devices/:id/commands",
    {
      config: { access: "device" },
      schema: { params: DeviceParams, querystring: List.omit({ device: true }) },
    },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      return listed(deps, { ...request.query, device: id });
    },
  );
  app.get(
    "/api/v1/commands",
    { config: { access: "read" }, schema: { querystring: List } },
    async (request) => {
      const { device } = request.query;
      if (principalOf(request).devices !== null) requireDevice(request, device ?? "");
      return listed(deps, request.query);
    },
  );
  app.get(
    "/api/v1/commands/:id",
    { config: { access: "device" }, schema: { params: RowParams } },
    async (request) => {
      const command = await getCommand(db, request.params.id);
      requireDevice(request, command.device);
      return command;
    },
  );
  app.delete(
    "/api/v1/commands/:id",
    { config: write, schema: { params: RowParams } },
    async (request, reply) => {
      const command = await getCommand(db, request.params.id);
      requireDevice(request, command.device);
      if (!(await cancelCommand(db, command.id)))
        throw new Refusal(409, `the command is ${command.status} already`, { code: "conflict" });
      const entityId = String(command.id);
      await writeAudit(db, {
        event: "command.cancelled",
        entityType: "command",
        entityId,
        ...actorOf(request),
      });
      return reply.code(204).send();
    },
  );
  addConfigRoutes(app, deps, send.tell);
  addFleetRoutes(app, deps, send);
}

async function listed({ db }: Deps, { limit: most, cursor, ...filter }: z.output<typeof List>) {
  return page(
    "commands",
    await listCommands(db, { ...filter, beforeId: cursor }, most + 1),
    most,
    ({ id }) => id,
  );
}

type Send = ReturnType<typeof createSendCommand>;

function addConfigRoutes(app: App, { db }: Deps, tell: Send["tell"]): void {
  app.get(
    "/api/v1/devices/:id/config",
    { config: { access: "device" }, schema: { params: DeviceParams } },
    async (request) => {
      requireDevice(request, request.params.id);
      return getDeviceConfig(db, request.params.id);
    },
  );
  for (const [method, merge] of [
    ["PUT", false],
    ["PATCH", true],
  ] as const) {
    app.route({
      method,
      url: "/api/v1/devices/:id/config",
      config: write,
      schema: { params: DeviceParams, body: CommandPayload },
      handler: async (request) => {
        const { id } = request.params as { id: string };
        requireDevice(request, id);
        const actor = actorOf(request);
        const config = await putDeviceConfig(db, id, request.body as object, { merge, actor });
        await tell({ devices: [], configured: [id] });
        return config;
      },
    });
  }
}

function addFleetRoutes(app: App, { db }: Deps, send: Send): void {
  app.get("/api/v1/fleet", { config: { access: "read" } }, async () => ({
    groups: await listFleetGroups(db),
  }));
  app.put(
    "/api/v1/fleet/:group",
    { config: write, schema: { params: GroupParams, body: GroupBody } },
    async (request, reply) => {
      const { group: name } = request.params;
      if (name === "all") throw new Refusal(400, "group: 'all' is every device", { code: "invalid" });
      for (const device of request.body.devices) requireDevice(request, device);
      await putFleetGroup(db, { name, ...request.body });
      await writeAudit(db, {
        event: "fleet.changed",
        entityType: "fleet",
        entityId: name,
        ...actorOf(request),
      });
      return reply.code(204).send();
    },
  );
  app.delete(
    "/api/v1/fleet/:group",
    { config: write, schema: { params: GroupParams } },
    async (request, reply) => {
      await removeFleetGroup(db, request.params.group);
      const entityId = request.params.group;
      await writeAudit(db, { event: "fleet.removed", entityType: "fleet", entityId, ...actorOf(request) });
      return reply.code(204).send();
    },
  );
  app.post(
    "/api/v1/fleet/:group/commands",
    { config: write, schema: { params: GroupParams, body: NewCommand } },
    async (request, reply) => {
      const parts = await send.toFleet(request, request.params.group, request.body);
      const { group } = request.params;
      return reply.code(202).send({ group, wireId: parts[0]?.wireId ?? null, count: parts.length });
    },
  );
}
