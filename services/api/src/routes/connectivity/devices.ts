import { announceCommands } from "@sluice/bus";
import {
  createDevice,
  type DeviceConfig,
  getDevice,
  getDeviceConfig,
  listDevicePage,
  listDeviceReadings,
  putDeviceConfig,
  updateDevice,
  writeAudit,
} from "@sluice/db";
import { createTopics, DeviceId } from "@sluice/shared-types";
import { z } from "zod";
import type { Deps } from "../../deps.ts";
import { requireDevice } from "../../device-access.ts";
import { actorOf, principalOf } from "../../principal.ts";
import type { Publish } from "../../publish.ts";
import { Refusal } from "../../refusal.ts";
import { DeviceParams, limit } from "../../schemas.ts";
import type { App } from "../../server.ts";
import { overviewOf, ownDevice, rangeBetween, readingOf } from "./shapes.ts";

const device = { access: "device" as const };
const Register = z.object({
  name: DeviceId,
  device_type: z.string().min(1).max(50),
  description: z.string().max(500).optional(),
  location: z.string().max(200).optional(),
  firmware_version: z.string().max(50).optional(),
  hardware_version: z.string().max(50).optional(),
  user_id: z.union([z.string(), z.number()]).optional(),
});
const Statuses = z.strictObject({
  limit: limit(1000, 100),
  offset: z
    .string()
    .regex(/^\d{1,6}$/, "is a whole number")
    .transform(Number)
    .default(0),
  cursor: DeviceId.optional(),
});
const Own = z.strictObject({ limit: limit(1000, 100), start_time: z.string().max(40).default("-24h") });
const Key = z.object({
  config_key: z.string().regex(/^[A-Za-z0-9_.-]{1,100}$/, "is 1-100 letters, digits, '_', '-' or '.'"),
  config_value: z.union([z.string().max(4096), z.number(), z.boolean(), z.null()]),
  data_type: z.enum(["string", "integer", "float", "boolean", "json"]).default("string"),
});
const About = z.strictObject({
  status: z.enum(["active", "maintenance"]).optional(),
  location: z.string().max(200).optional(),
  firmware_version: z.string().max(50).optional(),
  hardware_version: z.string().max(50).optional(),
});

/** Document B's routes of devices: registering, what a device asks about itself, presence. */
export function addDeviceRoutes(app: App, deps: Deps, publish: Publish): void {
  const { db, config } = deps;
  const registerLimit = { max: 10, timeWindow: 300_000 };
  app.post(
    "/api/v1/devices/register",
    { config: { access: "admin", rateLimit: registerLimit }, schema: { body: Register } },
    async (request, reply) => {
      const { name, device_type, location, firmware_version, hardware_version } = request.body;
      const made = await createDevice(db, config.SLUICE_PEPPER, {
        id: name,
        name,
        type: device_type,
        ...(location === undefined ? {} : { location }),
      });
      const actor = actorOf(request);
      await updateDevice(db, name, { firmware: firmware_version, hardware: hardware_version }, actor);
      await writeAudit(db, { event: "device.created", entityType: "device", entityId: name, ...actor });
      const { id, username, password, apiKey } = made;
      const created_at = new Date().toISOString();
      const shown = {
        id,
        name,
        device_type,
        status: "active",
        created_at,
        api_key: apiKey,
        username,
        password,
      };
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
  app.get(
    "/api/v1/devices/statuses",
    { config: device, schema: { querystring: Statuses } },
    async (request) => {
      const { limit: most, cursor, offset } = request.query;
      const only = principalOf(request).devices;
      const rows = await listDevicePage(db, { after: cursor, only, offset }, most + 1);
      const devices = rows.slice(0, most).map(overviewOf);
      return {
        status: "success",
        devices,
        device_statuses: devices,
        count: devices.length,
        meta: { total: devices.length, limit: most, offset, cache_used: false },
        next: rows.length > most ? devices.at(-1)?.id : null,
      };
    },
  );
  app.post(
    "/api/v1/devices/heartbeat",
    { config: { ...device, rateLimit: { max: 30, timeWindow: 60_000 } } },
    async (request) => {
      const id = ownDevice(request);
      await publish.accepted([
        { device: id, type: "heartbeat", kind: "status", payload: { status: "alive" } },
      ]);
      const timestamp = new Date().toISOString();
      return { message: "Heartbeat received", device_id: id, timestamp, status: "online" };
    },
  );
  app.get("/api/v1/devices/telemetry", { config: device, schema: { querystring: Own } }, async (request) => {
    const id = ownDevice(request);
    const { start_time, limit: most } = request.query;
    const data = await listDeviceReadings(db, id, rangeBetween(start_time, "now()"), most);
    const telemetry = data.map(readingOf);
    return { status: "success", device_id: id, start_time, telemetry, count: data.length, limit: most };
  });
  addConfigRoutes(app, deps);
  addCredentialRoutes(app, deps);
}

async function statusOf({ db }: Deps, id: string) {
  const found = await getDevice(db, id);
  const shown = { ...overviewOf(found), presence: found.status, location: found.location };
  return { status: "success", device: { ...shown, created_at: found.createdAt } };
}

/** What a device is set to, and what it says of itself. */
function addConfigRoutes(app: App, { db, bus }: Deps): void {
  app.get("/api/v1/devices/config", { config: device }, async (request) => {
    return configOf(await getDeviceConfig(db, ownDevice(request)));
  });
  app.post("/api/v1/devices/config", { config: device, schema: { body: Key } }, async (request) => {
    const id = ownDevice(request);
    const { config_key, config_value, data_type } = request.body;
    const value = typedValue(config_value, data_type);
    const actor = actorOf(request);
    const config = await putDeviceConfig(db, id, { [config_key]: value }, { merge: true, actor });
    await announceCommands(bus, { devices: [], configured: [id] });
    const shown = { config_key, config_value: value, data_type };
    return { ...configOf(config), message: "Configuration updated successfully", ...shown };
  });
  app.put("/api/v1/devices/config", { config: device, schema: { body: About } }, async (request) => {
    const id = ownDevice(request);
    const { status, location, firmware_version: firmware, hardware_version: hardware } = request.body;
    const found = await getDevice(db, id);
    const back = status === "active" && found.status === "maintenance" ? ("online" as const) : undefined;
    const change = { location, firmware, hardware, status: status === "maintenance" ? status : back };
    await updateDevice(db, id, change, actorOf(request));
    const { status: _, ...rest } = await statusOf({ db } as Deps, id);
    return { status: "success", message: "Device configuration updated successfully", ...rest };
  });
}

function configOf({ device: id, config, version, reportedVersion }: DeviceConfig) {
  const entries = Object.entries(config).map(([key, value]) => [key, { value, data_type: typeName(value) }]);
  const configuration = Object.fromEntries(entries);
  return { status: "success", device_id: id, configuration, version, reported_version: reportedVersion };
}

function typeName(value: unknown): string {
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "float";
  return typeof value === "string" || typeof value === "boolean" ? typeof value : "json";
}

/** A value that came as text, as what it is said to be. @throws Refusal 400 */
function typedValue(
  value: string | number | boolean | null,
  type: z.output<typeof Key>["data_type"],
): unknown {
  if (typeof value !== "string" || type === "string") return value;
  try {
    const parsed: unknown = JSON.parse(type === "boolean" ? value.toLowerCase() : value);
    const fits =
      type === "json" || (type === "boolean" ? typeof parsed === "boolean" : typeof parsed === "number");
    if (fits && (type !== "integer" || Number.isInteger(parsed))) return parsed;
  } catch {
    // said below
  }
  throw new Refusal(400, `config_value: is not of data_type ${type}`, { code: "invalid" });
}

/** Where a device connects. Nobody has its password any more: it was shown once, when it was made. */
function addCredentialRoutes(app: App, { db, config }: Deps): void {
  const topics = createTopics(config.SLUICE_TOPIC_ROOT);
  const topicsOf = (id: string) => ({
    telemetry: topics.telemetry(id),
    status: topics.status(id, "online"),
    heartbeat: topics.status(id, "heartbeat"),
    commands: topics.command(id, "+"),
    config: topics.config(id),
  });
  app.get("/api/v1/devices/credentials", { config: device }, async (request) => {
    const found = await getDevice(db, ownDevice(request));
    return { status: "success", device: { ...overviewOf(found), mqtt_topics: topicsOf(found.id) } };
  });
  app.get("/api/v1/devices/mqtt-credentials", { config: device }, async (request) => {
    const id = ownDevice(request);
    const { username } = await getDevice(db, id);
    const credentials = {
      mqtt_host: new URL(`http://${request.headers.host ?? "localhost"}`).hostname,
      mqtt_port: config.SLUICE_MQTT_PORT ?? 1883,
      username,
      password: null,
      client_id: id,
      anonymous_connection: false,
      topics: {
        telemetry_publish: topics.telemetry(id),
        status_publish: topics.status(id, "{type}"),
        commands_subscribe: topics.command(id, "+"),
        config_subscribe: topics.config(id),
      },
    };
    return { status: "success", device_id: id, credentials, topics: topicsOf(id) };
  });
}
