import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { PROGRAM_KEY_PREFIX } from "@sluice/db";
import { DeviceId, PAYLOAD_LIMITS } from "@sluice/shared-types";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { type AuthDeps, authenticate } from "../authenticate.ts";
import type { Deps } from "../deps.ts";
import { requireDeviceChange } from "../device-access.ts";
import type { Forward } from "../forward.ts";
import { findPrincipal } from "../principal.ts";
import type { Publish } from "../publish.ts";
import { Refusal } from "../refusal.ts";
import { DeviceParams } from "../schemas.ts";
import type { App } from "../server.ts";

const inflate = promisify(gunzip);
const TYPE = /^[A-Za-z0-9.-][A-Za-z0-9_.-]{0,63}$/;

const Point = z.object({
  device_id: DeviceId,
  measurement: z.string().regex(TYPE, "is 1-64 letters, digits, '_', '-' or '.'"),
  fields: z
    .record(z.string(), z.union([z.number(), z.boolean(), z.string(), z.null()]))
    .refine((fields) => Object.keys(fields).length > 0, "holds at least one field"),
  tags: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  timestamp: z.union([z.string(), z.number()]).optional(),
});
type Point = z.output<typeof Point>;
const Batch = z.object({ points: z.array(Point).min(1).max(PAYLOAD_LIMITS.samples) });

/**
 * Readings over HTTP. The gateway takes them and says who may: it knows its devices even while PostgreSQL is down, so
 * nothing is looked up here. Document B's points are put into a device's shape first; programs and people with the
 * scope `write` may send them for any of their devices.
 */
export function addIngestRoutes(
  app: App,
  { config }: Deps,
  auth: AuthDeps,
  forward: Forward,
  publish: Publish,
): void {
  const options = { config: { access: "public" as const }, bodyLimit: config.SLUICE_MAX_PACKET_BYTES };
  void app.register(async (ingest) => {
    ingest.removeAllContentTypeParsers();
    ingest.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) =>
      done(null, body),
    );
    for (const path of ["/api/v1/ingest", "/api/v1/devices/telemetry", "/api/data"]) {
      ingest.post(path, options, (request, reply) => forward(request, reply, request.url, bodyOf(request)));
    }
    ingest.post("/api/v1/telemetry", options, (request, reply) =>
      forward(request, reply, "/api/v1/devices/telemetry", bodyOf(request)),
    );
    // The device of the path is the one meant; the gateway knows whether the key may speak for it.
    ingest.post("/api/v1/mqtt/telemetry/:id", options, async (request, reply) => {
      const { id } = parse(DeviceParams, request.params);
      const body = parse(
        z.record(z.string(), z.unknown()),
        await jsonOf(request, config.SLUICE_MAX_PACKET_BYTES),
      );
      delete request.headers["content-encoding"];
      const message = Buffer.from(JSON.stringify({ ...body, device_id: id }));
      return forward(request, reply, "/api/v1/devices/telemetry", message);
    });
    const take = async (request: FastifyRequest, reply: FastifyReply, batch: boolean) => {
      const program = isProgram(request);
      if (program) await authenticate(auth, "write", request, reply);
      if (reply.sent) return reply;
      const points = batch
        ? parse(Batch, await jsonOf(request, config.SLUICE_MAX_PACKET_BYTES)).points
        : [parse(Point, await jsonOf(request, config.SLUICE_MAX_PACKET_BYTES))];
      if (!program) {
        const messages = points.map(toMessage);
        const body = Buffer.from(JSON.stringify(batch ? { points: messages } : messages[0]));
        delete request.headers["content-encoding"];
        return forward(request, reply, request.url, body);
      }
      for (const { device_id } of points) requireDeviceChange(request, device_id);
      await publish.accepted(
        points.map((point) => ({
          device: point.device_id,
          type: point.measurement,
          payload: toMessage(point),
        })),
      );
      return reply.code(201).send({
        message: "Telemetry data received successfully",
        device_id: points[0]?.device_id,
        count: points.length,
        timestamp: new Date().toISOString(),
      });
    };
    ingest.post("/api/v1/influxdb/telemetry", options, (request, reply) => take(request, reply, false));
    ingest.post("/api/v1/influxdb/telemetry/batch", options, (request, reply) => take(request, reply, true));
  });
}

/** Keys of programs and sessions are known here, keys of devices to the gateway. */
function isProgram(request: FastifyRequest): boolean {
  if (findPrincipal(request)) return true;
  const { authorization } = request.headers;
  const key = request.headers["x-api-key"] ?? authorization?.split(" ")[1];
  if (typeof key === "string") return key.startsWith(PROGRAM_KEY_PREFIX) || key.split(".").length === 3;
  return request.headers.cookie !== undefined && authorization === undefined;
}

function toMessage({ device_id, measurement, fields, tags, timestamp }: Point): object {
  return {
    device_id,
    type: measurement,
    data: fields,
    ...(tags === undefined ? {} : { metadata: tags }),
    ...(timestamp === undefined ? {} : { timestamp }),
  };
}

const bodyOf = (request: FastifyRequest): Buffer =>
  Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);

async function jsonOf(request: FastifyRequest, maxBytes: number): Promise<unknown> {
  let body = bodyOf(request);
  const encoding = request.headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity" && encoding !== "gzip") {
    throw new Refusal(415, "content-encoding is gzip or none");
  }
  try {
    if (encoding === "gzip") body = await inflate(body, { maxOutputLength: maxBytes });
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    if ((cause as { code?: string }).code === "ERR_BUFFER_TOO_LARGE")
      throw new Refusal(413, "the body is too large");
    throw new Refusal(400, "the body is not JSON", { code: "not_json" });
  }
}

function parse<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors = result.error.issues.slice(0, 20).map((issue) => ({
    field: issue.path.join(".") || "body",
    message: issue.message,
  }));
  throw new Refusal(400, errors.map(({ field, message }) => `${field}: ${message}`).join("; "), {
    code: "invalid",
    errors,
  });
}
