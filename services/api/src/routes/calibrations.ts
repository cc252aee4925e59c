import {
  calibrateSensor,
  createSensor,
  getChartSensor,
  listCalibrations,
  listDueCalibrations,
  removeSensor,
  removeSensorType,
} from "@sluice/db";
import { DeviceId } from "@sluice/shared-types";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { requireDevice } from "../device-access.ts";
import { actorOf } from "../principal.ts";
import { FieldName, limit, RowParams } from "../schemas.ts";
import type { App } from "../server.ts";

const NewCalibration = z.strictObject({
  offset: z.number().min(-1e9).max(1e9),
  nextDue: z.iso.datetime({ offset: true }).optional(),
  referenceValues: z.record(z.string(), z.unknown()).optional(),
  notes: z.string().max(2000).optional(),
});
const NewSensor = z.strictObject({
  device: DeviceId,
  field: FieldName,
  valueType: z.enum(["number", "text"]).default("number"),
  unit: z.string().max(20).optional(),
});
const TypeName = z.object({ name: z.string().regex(/^[A-Za-z0-9_.-]{1,100}$/) });

/** Calibrations, and sensors and their types that come and go by hand. */
export function addCalibrationRoutes(app: App, { db }: Deps): void {
  const write = { access: "write" as const };
  app.get(
    "/api/v1/sensors/:id/calibrations",
    {
      config: { access: "device" },
      schema: { params: RowParams, querystring: z.strictObject({ limit: limit(500, 50) }) },
    },
    async (request) => {
      const sensor = await getChartSensor(db, { id: request.params.id });
      requireDevice(request, sensor.device);
      return { calibrations: await listCalibrations(db, sensor.id, request.query.limit) };
    },
  );
  app.post(
    "/api/v1/sensors/:id/calibrations",
    { config: write, schema: { params: RowParams, body: NewCalibration } },
    async (request, reply) => {
      const sensor = await getChartSensor(db, { id: request.params.id });
      requireDevice(request, sensor.device);
      const { nextDue, ...rest } = request.body;
      const found = { ...rest, nextDue: nextDue === undefined ? undefined : new Date(nextDue) };
      return reply.code(201).send(await calibrateSensor(db, sensor.id, found, actorOf(request)));
    },
  );
  const Due = z.strictObject({ days: limit(366, 7), limit: limit(500, 100) });
  for (const path of ["/api/v1/calibrations/due", "/api/calibrations/due"]) {
    app.get(path, { config: { access: "read" }, schema: { querystring: Due } }, async (request) => {
      const { days, limit: most } = request.query;
      return { due: await listDueCalibrations(db, days, most) };
    });
  }
  app.post("/api/v1/sensors", { config: write, schema: { body: NewSensor } }, async (request, reply) => {
    requireDevice(request, request.body.device);
    return reply.code(201).send(await createSensor(db, request.body, actorOf(request)));
  });
  app.delete(
    "/api/v1/sensors/:id",
    { config: { access: "admin" }, schema: { params: RowParams } },
    async (request, reply) => {
      await removeSensor(db, request.params.id, actorOf(request));
      return reply.code(204).send();
    },
  );
  app.delete(
    "/api/v1/sensor-types/:name",
    { config: { access: "admin" }, schema: { params: TypeName } },
    async (request, reply) => {
      await removeSensorType(db, request.params.name, actorOf(request));
      return reply.code(204).send();
    },
  );
}
