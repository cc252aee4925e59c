import { getChartSensor, listDeviceReadings } from "@sluice/db";
import { DEFAULT_TYPE, InvalidInputError, OutageError, parseTime } from "@sluice/shared-types";
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { requireDevice, requireDeviceChange } from "../device-access.ts";
import { answerError } from "../errors.ts";
import type { Publish } from "../publish.ts";
import { Refusal } from "../refusal.ts";
import { iso, limit, RowParams } from "../schemas.ts";
import type { App } from "../server.ts";

const STORED_MS = 8000;
const MIN_US = Date.UTC(2020, 0, 1) * 1000;
const DAY_US = 86_400_000_000;

const Body = z.strictObject({
  sensor_id: z.int().min(1).max(2_147_483_647),
  value: z.number().nullable(),
  time: z.union([z.string().max(40), z.number()]).optional(),
  /** Of a reading that is known to be wrong the value is null. */
  status: z.enum(["ok", "error"]).default("ok"),
});

/** Document D's measurements: what is written replaces what was there, through the bus like every reading. */
export function addMeasurementRoutes(app: App, deps: Deps, publish: Publish): void {
  const { db, log } = deps;
  app.post(
    "/api/v1/measurement",
    {
      config: { access: "device" },
      schema: { body: Body },
      // The document answers 422 for what does not fit its schema, 400 for what is no JSON.
      errorHandler: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
        void answerError(log, error, request, reply, 422);
      },
    },
    async (request, reply) => {
      const { sensor_id, value, status } = request.body;
      const sensor = await getChartSensor(db, { id: sensor_id });
      requireDeviceChange(request, sensor.device);
      if ((value === null) !== (status === "error")) {
        throw new Refusal(422, "value: is null exactly where the status is error", { code: "invalid" });
      }
      const nowUs = Date.now() * 1000;
      const timeUs = request.body.time === undefined ? nowUs : parseTime(request.body.time);
      if (timeUs === undefined || timeUs < MIN_US || timeUs > nowUs + DAY_US) {
        throw new Refusal(422, "time: is a time from 2020 to a day from now", { code: "invalid" });
      }
      if (timeUs > nowUs + deps.config.MAX_FUTURE * 1000) {
        throw new Refusal(422, "time: is further ahead than MAX_FUTURE", { code: "invalid" });
      }
      const text = sensor.valueType === "text";
      const sent = text && value !== null ? String(value) : value;
      const outcome = await publish.stored(
        {
          device: sensor.device,
          type: DEFAULT_TYPE,
          payload: { ts: iso(timeUs), data: { [sensor.field]: sent } },
          correction: true,
        },
        STORED_MS,
      );
      if (outcome === undefined) {
        throw new OutageError("postgres", "the measurement is kept but not yet stored");
      }
      if (outcome.level === "quarantined") {
        throw new InvalidInputError("bad_value", `not stored: ${outcome.reason ?? "refused"}`);
      }
      const message = outcome.level === "stored" ? "Measurement stored" : "Measurement was stored already";
      return reply.code(201).send({ time: iso(timeUs), sensor_id, value, status, message });
    },
  );
  const Query = z.strictObject({ limit: limit(1000, 100) });
  app.get(
    "/api/v1/measurement/sensor/:id",
    { config: { access: "device" }, schema: { params: RowParams, querystring: Query } },
    async (request) => {
      const sensor = await getChartSensor(db, { id: request.params.id });
      requireDevice(request, sensor.device);
      const range = { fromUs: 0, toUs: Date.now() * 1000 + DAY_US, field: sensor.field };
      const readings = await listDeviceReadings(db, sensor.device, range, request.query.limit);
      return readings.map(({ timeUs, value, status }) => ({
        time: iso(timeUs),
        sensor_id: sensor.id,
        value,
        status,
      }));
    },
  );
}
