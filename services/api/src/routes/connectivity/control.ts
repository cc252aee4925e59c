import { listCommands, listPendingCommands, noteResults, takeCommands } from "@sluice/db";
import { DeviceId } from "@sluice/shared-types";
import { z } from "zod";
import type { Deps } from "../../deps.ts";
import { requireDevice } from "../../device-access.ts";
import { Refusal } from "../../refusal.ts";
import { DeviceParams, RowId } from "../../schemas.ts";
import type { App } from "../../server.ts";
import { CommandPayload, createSendCommand } from "../commands.ts";

const Control = z.object({
  command: z.string().min(1).max(200),
  parameters: CommandPayload.default({}),
});
const Said = z.object({
  status: z.enum(["acknowledged", "failed"]),
  error: z.string().max(1000).optional(),
});
const MOST = 100;
/** Stands for the gateway that took a command: the device fetched it itself. */
const OVER_HTTP = "http";

/** Commands for devices that speak HTTP only: they ask for what is pending and say what became of it. */
export function addControlRoutes(app: App, deps: Deps): void {
  const { db } = deps;
  const send = createSendCommand(deps);
  const own = { config: { access: "device" as const } };
  app.post(
    "/api/v1/devices/:id/control",
    { config: { access: "write" }, schema: { params: DeviceParams, body: Control } },
    async (request, reply) => {
      const { command, parameters } = request.body;
      const wanted = { type: "control", payload: { command, parameters } };
      const made = await send.toDevice(request, request.params.id, wanted);
      return reply.code(201).send({ message: "Command sent via MQTT", control_id: made.id });
    },
  );
  app.get(
    "/api/v1/devices/:id/control/pending",
    { ...own, schema: { params: DeviceParams } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const pending = await listPendingCommands(db, [id], MOST);
      return pending.map(({ id: number, type, payload, issuedAt }) => {
        const { command = type, parameters = payload } = payload;
        return { id: number, command, parameters, created_at: issuedAt };
      });
    },
  );
  const Params = DeviceParams.extend({ control: RowId });
  app.post(
    "/api/v1/devices/:id/control/:control/status",
    { ...own, schema: { params: Params, body: Said } },
    async (request) => {
      const { id, control } = request.params;
      requireDevice(request, id);
      const [command] = await listCommands(db, { device: id, beforeId: control + 1 }, 1);
      if (command?.id !== control) throw new Refusal(404, `no command ${control}`, { code: "not_found" });
      await takeCommands(db, [control], OVER_HTTP);
      const { status, error } = request.body;
      const wireId = command.wireId;
      await noteResults(db, [
        { device: id, wireId, ok: status === "acknowledged", result: { status }, error },
      ]);
      return { message: "Status updated" };
    },
  );
  // Document A: what is pending is given once.
  app.get(
    "/api/commands",
    { ...own, schema: { querystring: z.strictObject({ sensor_id: DeviceId }) } },
    async (request) => {
      const { sensor_id } = request.query;
      requireDevice(request, sensor_id);
      const pending = await listPendingCommands(db, [sensor_id], MOST);
      const ids = pending.map(({ id }) => id);
      const taken = new Set(await takeCommands(db, ids, OVER_HTTP));
      const commands = pending
        .filter(({ id }) => taken.has(id))
        .map(({ wireId, type, payload, issuedAt }) => ({
          id: wireId,
          type,
          ...payload,
          timestamp: issuedAt,
        }));
      return { sensor_id, commands, count: commands.length };
    },
  );
}
