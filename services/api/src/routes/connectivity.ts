import {
  AGGREGATIONS,
  type Aggregation,
  aggregateReadings,
  countDevices,
  createDevice,
  deleteReadings,
  disableDevice,
  enableDevice,
  getChartSensor,
  getDevice,
  getDeviceConfig,
  listDevicePage,
  listDeviceReadings,
  listTotals,
  removeDevice,
  updateDevice,
  writeAudit,
} from "@sluice/db";
import { createTopics, DeviceId } from "@sluice/shared-types";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { requireDevice, requireDeviceChange } from "../device-access.ts";
import { parseInstant } from "../influx-data.ts";
import { actorOf, principalOf } from "../principal.ts";
import type { Publish } from "../publish.ts";
import { Refusal } from "../refusal.ts";
import { DeviceParams, FieldName, iso, limit } from "../schemas.ts";
import type { App } from "../server.ts";

const ONLINE_MS = 300_000;
const device = { access: "device" as const };
const admin = { access: "admin" as const };

/** Document B's routes of devices, telemetry, MQTT and administration. */
export function addConnectivityRoutes(app: App, deps: Deps, publish: Publish): void {
  addOwnRoutes(app, deps, publish);
  addTelemetryRoutes(app, deps);
  addTopicRoutes(app, deps);
  addAdminRoutes(app, deps);
}

/** The one device a key speaks for. */
function ownDevice(request: FastifyRequest): string {
  const { devices } = principalOf(request);
  const [only] = devices ?? [];
  if (only === undefined || devices?.length !== 1) {
    throw new Refusal(400, "this key does not stand for exactly one device", { code: "bad_device_id" });
  }
  return only;
}

function addOwnRoutes(app: App, deps: Deps, publish: Publish): void {
  const { db, config } = deps;
  const Register = z.object({
    name: DeviceId,
    device_type: z.string().min(1).max(50),
    description: z.string().max(500).optional(),
    location: z.string().max(200).optional(),
    user_id: z.union([z.string(), z.number()]).optional(),
  });
  app.post(
    "/api/v1/devices/register",
    { config: { ...admin, rateLimit: { max: 10, timeWindow: 300_000 } }, schema: { body: Register } },
    async (request, reply) => {
      const { name, device_type, location } = request.body;
      const made = await createDevice(db, config.SLUICE_PEPPER, {
        id: name,
        name,
        type: device_type,
        ...(location === undefined ? {} : { location }),
      });
      await writeAudit(db, {
        event: "device.created",
        entityType: "device",
        entityId: name,
        ...actorOf(request),
      });
      const { id, username, password, apiKey } = made;
      const shown = { id, name, device_type, status: "active", api_key: apiKey, username, password };
      return reply
        .code(201)
        .send({ message: "Device registered successfully", device: shown, api_key: apiKey });
    },
  );
  app.get("/api/v1/devices/status", { config: device }, async (request) =>
    statusOf(deps, ownDevice(request)),
  );
  app.get(
    "/api/v1/devices/:id/status",
    { config: device, schema: { params: DeviceParams } },
    async (request) => {
      requireDevice(request, request.params.id);
      return statusOf(deps, request.params.id);
    },
  );
  const Page = z.strictObject({ limit: limit(1000, 100), cursor: DeviceId.optional() });
  app.get("/api/v1/devices/statuses", { config: device, schema: { querystring: Page } }, async (request) => {
    const { limit: most, cursor } = request.query;
    const rows = await listDevicePage(db, { after: cursor, only: principalOf(request).devices }, most + 1);
    const shown = rows.slice(0, most);
    return {
      device_statuses: shown.map(({ id, name, type, lastHeartbeat, lastDataReceived }) => {
        const seen = newest(lastHeartbeat, lastDataReceived);
        return { id, name: name ?? id, device_type: type, is_online: isOnline(seen), last_seen: seen };
      }),
      count: shown.length,
      next: rows.length > most ? shown.at(-1)?.id : null,
    };
  });
  app.post(
    "/api/v1/devices/heartbeat",
    { config: { ...device, rateLimit: { max: 30, timeWindow: 60_000 } } },
    async (request) => {
      const id = ownDevice(request);
      await publish.accepted([
        { device: id, type: "heartbeat", kind: "status", payload: { status: "alive" } },
      ]);
      return {
        message: "Heartbeat received",
        device_id: id,
        timestamp: new Date().toISOString(),
        status: "online",
      };
    },
  );
  app.get("/api/v1/devices/config", { config: device }, async (request) => {
    const id = ownDevice(request);
    return { device_id: id, configuration: await getDeviceConfig(db, id) };
  });
  app.get("/api/v1/devices/mqtt-credentials", { config: device }, async (request) => {
    const id = ownDevice(request);
    const { username } = await getDevice(db, id);
    const topics = createTopics(config.SLUICE_TOPIC_ROOT);
    return {
      device_id: id,
      // Nobody has the password any more: it was shown once, when it was made.
      credentials: { username, password: null, client_id: id },
      topics: {
        telemetry: topics.telemetry(id),
        status: topics.status(id, "online"),
        commands: topics.command(id, "+"),
      },
    };
  });
  const Own = z.strictObject({ limit: limit(1000, 100), start_time: z.string().max(40).default("-24h") });
  app.get("/api/v1/devices/telemetry", { config: device, schema: { querystring: Own } }, async (request) => {
    const id = ownDevice(request);
    const range = since(request.query.start_time, "now()");
    const data = await listDeviceReadings(db, id, range, request.query.limit);
    return {
      device_id: id,
      start_time: request.query.start_time,
      telemetry: data.map(shown),
      count: data.length,
    };
  });
}

const newest = (a: Date | null, b: Date | null) => (a !== null && b !== null ? (a > b ? a : b) : (a ?? b));
const isOnline = (seen: Date | null) => seen !== null && Date.now() - seen.getTime() < ONLINE_MS;

async function statusOf({ db }: Deps, id: string) {
  const found = await getDevice(db, id);
  const seen = newest(found.lastHeartbeat, found.lastDataReceived);
  return {
    status: "success",
    device: {
      id,
      name: found.name ?? id,
      device_type: found.type,
      status: found.access,
      presence: found.status,
      is_online: isOnline(seen) && found.status !== "offline",
      last_seen: seen,
      location: found.location,
      created_at: found.createdAt,
    },
  };
}

const shown = ({
  timeUs,
  field,
  value,
  status,
}: {
  timeUs: number;
  field: string;
  value: unknown;
  status: string;
}) => ({
  time: iso(timeUs),
  field,
  value,
  status,
});

function since(start: string, stop: string): { fromUs: number; toUs: number } {
  const nowUs = Date.now() * 1000;
  const [fromUs, toUs] = [parseInstant(start, nowUs), parseInstant(stop, nowUs)];
  if (fromUs === undefined || toUs === undefined || fromUs >= toUs) {
    throw new Refusal(400, "start_time: is -1h, -7d, or a time before the end", { code: "invalid" });
  }
  return { fromUs, toUs };
}

const MAX_WINDOWS = 10_000;

function addTelemetryRoutes(app: App, { db }: Deps): void {
  const Query = z.strictObject({
    start_time: z.string().max(40).default("-1h"),
    end_time: z.string().max(40).default("now()"),
    field: FieldName.optional(),
    limit: limit(1000, 1000),
  });
  app.get(
    "/api/v1/telemetry/:id",
    { config: device, schema: { params: DeviceParams, querystring: Query } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const { start_time, end_time, field, limit: most } = request.query;
      const data = await listDeviceReadings(db, id, { ...since(start_time, end_time), field }, most);
      return { device_id: id, start_time, data: data.map(shown), count: data.length };
    },
  );
  app.get(
    "/api/v1/telemetry/:id/latest",
    { config: device, schema: { params: DeviceParams } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const range = { fromUs: 0, toUs: (Date.now() + 86_400_000) * 1000 };
      const readings = await listDeviceReadings(db, id, range, 256);
      const [first] = readings;
      if (!first) throw new Refusal(404, `no telemetry of device '${id}'`, { code: "not_found" });
      const together = readings.filter(({ timeUs }) => timeUs === first.timeUs);
      const latest = Object.fromEntries(together.map(({ field, value }) => [field, value]));
      return { device_id: id, timestamp: iso(first.timeUs), latest_data: latest };
    },
  );
  const Aggregated = z.strictObject({
    field: FieldName,
    aggregation: z.enum(Object.keys(AGGREGATIONS) as [Aggregation, ...Aggregation[]]).default("mean"),
    window: z
      .string()
      .regex(/^[1-9]\d{0,5}(s|m|h|d|w)$/, "is a duration such as 5m, 1h or 1d")
      .default("1h"),
    start_time: z.string().max(40).default("-24h"),
    end_time: z.string().max(40).default("now()"),
  });
  app.get(
    "/api/v1/telemetry/:id/aggregated",
    { config: device, schema: { params: DeviceParams, querystring: Aggregated } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const { field, aggregation, window, start_time, end_time } = request.query;
      const range = since(start_time, end_time);
      const windowUs = (parseInstant(window, 0) ?? 0) || 1;
      if ((range.toUs - range.fromUs) / windowUs > MAX_WINDOWS) {
        throw new Refusal(400, `window: more than ${MAX_WINDOWS} windows in the range`, { code: "invalid" });
      }
      const sensor = await getChartSensor(db, { device: id, field });
      const rows = await aggregateReadings(db, sensor, range, {
        aggregation,
        windowUs,
        limit: MAX_WINDOWS + 1,
      });
      const data = rows.map(({ timeUs, value }) => ({ time: iso(timeUs), value }));
      return { device_id: id, field, aggregation, window, start_time, data, count: data.length };
    },
  );
  const Delete = z.strictObject({
    start_time: z.string().max(40),
    stop_time: z.string().max(40).default("now()"),
  });
  app.delete(
    "/api/v1/telemetry/:id",
    { config: device, schema: { params: DeviceParams, querystring: Delete } },
    async (request) => {
      const { id } = request.params;
      requireDeviceChange(request, id);
      const { start_time, stop_time } = request.query;
      const deleted = await deleteReadings(db, id, since(start_time, stop_time), actorOf(request));
      return {
        message: "Telemetry data deleted successfully",
        device_id: id,
        start_time,
        stop_time,
        deleted,
      };
    },
  );
}

function addTopicRoutes(app: App, { config }: Deps): void {
  const root = config.SLUICE_TOPIC_ROOT;
  const topics = createTopics(root);
  const read = { access: "read" as const };
  app.get("/api/v1/mqtt/topics/structure", { config: read }, async () => ({
    base_topic: root,
    structure: {
      telemetry: `${root}/devices/{device_id}/telemetry/{type}`,
      status: `${root}/devices/{device_id}/status/{type}`,
      commands: `${root}/devices/{device_id}/commands/{type}`,
      config: `${root}/devices/{device_id}/config`,
      lwt: `${root}/lwt/devices/{device_id}`,
      ack: `${root}/devices/{device_id}/ack`,
      rejected: `${root}/devices/{device_id}/rejected`,
    },
    subscriptions: topics.incoming,
  }));
  app.get(
    "/api/v1/mqtt/topics/device/:id",
    { config: device, schema: { params: DeviceParams } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      return {
        device_id: id,
        topics: {
          publish: [
            topics.telemetry(id),
            topics.telemetry(id, "{type}"),
            topics.status(id, "{type}"),
            topics.lwt(id),
          ],
          subscribe: [topics.command(id, "+"), topics.config(id), topics.ack(id), topics.rejected(id)],
        },
      };
    },
  );
  const Topic = z.object({ topic: z.string().max(65_535) });
  app.post("/api/v1/mqtt/topics/validate", { config: read, schema: { body: Topic } }, async (request) => {
    const { topic } = request.body;
    const why = !topic.startsWith(`${root}/`)
      ? `a topic starts with ${root}/`
      : ["+", "#", "\u0000"].some((sign) => topic.includes(sign))
        ? "a topic to publish to has no wildcard and no NUL"
        : undefined;
    return { topic, valid: why === undefined, ...(why === undefined ? {} : { error: why }) };
  });
}

function addAdminRoutes(app: App, deps: Deps): void {
  const { db } = deps;
  const Page = z.strictObject({ limit: limit(1000, 100), cursor: DeviceId.optional() });
  app.get("/api/v1/admin/devices", { config: admin, schema: { querystring: Page } }, async (request) => {
    const { limit: most, cursor } = request.query;
    const rows = await listDevicePage(db, { after: cursor, only: principalOf(request).devices }, most + 1);
    const devices = rows.slice(0, most);
    return {
      status: "success",
      total_devices: devices.length,
      devices,
      next: rows.length > most ? devices.at(-1)?.id : null,
    };
  });
  const one = { config: admin, schema: { params: DeviceParams } };
  app.get("/api/v1/admin/devices/:id", one, async (request) => {
    requireDevice(request, request.params.id);
    return { status: "success", device: await getDevice(db, request.params.id) };
  });
  app.delete("/api/v1/admin/devices/:id", one, async (request) => {
    const { id } = request.params;
    requireDevice(request, id);
    await removeDevice(db, id);
    await writeAudit(db, {
      event: "device.removed",
      entityType: "device",
      entityId: id,
      ...actorOf(request),
    });
    return { status: "success", message: `Device ${id} deleted`, device_id: id };
  });
  const Status = z.object({ status: z.enum(["active", "inactive", "maintenance"]) });
  app.put(
    "/api/v1/admin/devices/:id/status",
    { config: admin, schema: { params: DeviceParams, body: Status } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const { status } = request.body;
      if (status === "maintenance") await updateDevice(db, id, { status: "maintenance" }, actorOf(request));
      else await setAccess(deps, id, status === "active", request);
      return { status: "success", message: "Device status updated", device_id: id, new_status: status };
    },
  );
  app.get("/api/v1/admin/stats", { config: admin }, async () => {
    const counts = await countDevices(db);
    const totals = await listTotals(db);
    return {
      status: "success",
      device_stats: {
        total: counts.reduce((sum, { count }) => sum + count, 0),
        ...Object.fromEntries(counts.map(({ status, count }) => [status, count])),
      },
      telemetry_stats: { readings: totals.reduce((sum, { readings }) => sum + readings, 0) },
      timestamp: new Date().toISOString(),
    };
  });
}

async function setAccess({ db }: Deps, id: string, active: boolean, request: FastifyRequest): Promise<void> {
  const found = await getDevice(db, id);
  if (found.status === "maintenance") await updateDevice(db, id, { status: "offline" }, actorOf(request));
  await (active ? enableDevice(db, id) : disableDevice(db, id));
  const event = active ? "device.enabled" : "device.disabled";
  await writeAudit(db, { event, entityType: "device", entityId: id, ...actorOf(request) });
}
