import {
  countDevices,
  disableDevice,
  enableDevice,
  getDevice,
  getDeviceConfig,
  listDevicePage,
  listTotals,
  removeDevice,
  updateDevice,
  writeAudit,
} from "@sluice/db";
import { DeviceId } from "@sluice/shared-types";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { Deps } from "../../deps.ts";
import { requireDevice } from "../../device-access.ts";
import { actorOf, principalOf } from "../../principal.ts";
import { DeviceParams, limit } from "../../schemas.ts";
import type { App } from "../../server.ts";
import { overviewOf } from "./shapes.ts";

const admin = { access: "admin" as const };
const CACHED_PAGE = 1000;

/** Document B's administration: devices, statistics, and the copies of presence in Redis. */
export function addAdminRoutes(app: App, deps: Deps): void {
  const { db } = deps;
  const Page = z.strictObject({ limit: limit(1000, 100), cursor: DeviceId.optional() });
  app.get("/api/v1/admin/devices", { config: admin, schema: { querystring: Page } }, async (request) => {
    const { limit: most, cursor } = request.query;
    const rows = await listDevicePage(db, { after: cursor, only: principalOf(request).devices }, most + 1);
    const devices = rows.slice(0, most).map((device) => ({
      ...device,
      ...overviewOf(device),
      created_at: device.createdAt,
      auth_records_count: device.username === null ? 0 : 1,
    }));
    return {
      status: "success",
      total_devices: devices.length,
      devices,
      next: rows.length > most ? devices.at(-1)?.id : null,
    };
  });
  const one = { config: admin, schema: { params: DeviceParams } };
  app.get("/api/v1/admin/devices/:id", one, async (request) => {
    const { id } = request.params;
    requireDevice(request, id);
    const device = await getDevice(db, id);
    const { config, version } = await getDeviceConfig(db, id);
    const auth_records =
      device.username === null ? [] : [{ username: device.username, status: device.access }];
    return {
      status: "success",
      device: { ...device, ...overviewOf(device) },
      auth_records,
      configurations: config,
      config_version: version,
    };
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
    const note = "What it sent stays, under its name";
    return { status: "success", message: `Device ${id} deleted successfully`, device_id: id, note };
  });
  const Status = z.object({ status: z.enum(["active", "inactive", "maintenance"]) });
  app.put(
    "/api/v1/admin/devices/:id/status",
    { config: admin, schema: { params: DeviceParams, body: Status } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const { status } = request.body;
      const { status: old } = overviewOf(await getDevice(db, id));
      if (status === "maintenance") await updateDevice(db, id, { status: "maintenance" }, actorOf(request));
      else await setAccess(deps, id, status === "active", request);
      const message = `Device status updated from ${old} to ${status}`;
      return { status: "success", message, device_id: id, old_status: old, new_status: status };
    },
  );
  app.get("/api/v1/admin/stats", { config: admin }, async () => {
    const counts = await countDevices(db);
    const totals = await listTotals(db);
    const [auth] = await db.query<{ records: number; active: number }>(
      "SELECT count(*) AS records, count(*) FILTER (WHERE status = 'active') AS active FROM iot.credentials",
    );
    const [configs] = await db.query<{ n: number }>(
      "SELECT count(*) AS n FROM iot.devices, jsonb_object_keys(config) WHERE removed_at IS NULL",
    );
    return {
      status: "success",
      device_stats: {
        total: counts.reduce((sum, { count }) => sum + count, 0),
        active: auth?.active ?? 0,
        inactive: (auth?.records ?? 0) - (auth?.active ?? 0),
        ...Object.fromEntries(["online", "offline", "maintenance", "error"].map((status) => [status, 0])),
        ...Object.fromEntries(counts.map(({ status, count }) => [status, count])),
      },
      auth_stats: { total_records: auth?.records ?? 0, active_records: auth?.active ?? 0 },
      config_stats: { total_configs: configs?.n ?? 0, active_configs: configs?.n ?? 0 },
      telemetry_stats: { readings: totals.reduce((sum, { readings }) => sum + readings, 0) },
      timestamp: new Date().toISOString(),
    };
  });
  addCacheRoutes(app, deps);
}

async function setAccess({ db }: Deps, id: string, active: boolean, request: FastifyRequest): Promise<void> {
  const found = await getDevice(db, id);
  if (found.status === "maintenance") await updateDevice(db, id, { status: "offline" }, actorOf(request));
  await (active ? enableDevice(db, id) : disableDevice(db, id));
  const event = active ? "device.enabled" : "device.disabled";
  await writeAudit(db, { event, entityType: "device", entityId: id, ...actorOf(request) });
}

/** Keys in Redis with a device's presence; the gateway writes them anew whenever it hears of the device. */
const STATUS = (id: string) => `device:status:${id}`;
const LAST_SEEN = (id: string) => `device:lastseen:${id}`;
const HEARTBEAT = (id: string) => `heartbeat:${id}`;

function addCacheRoutes(app: App, { db, keyValue, bus }: Deps): void {
  const pages = async function* () {
    for (let after: string | undefined; ; ) {
      const rows: { id: string }[] = await listDevicePage(db, { after }, CACHED_PAGE);
      yield rows.map(({ id }) => id);
      after = rows.at(-1)?.id;
      if (rows.length < CACHED_PAGE) return;
    }
  };
  app.get("/api/v1/admin/cache/device-status", { config: admin }, async () => {
    let statuses = 0;
    let seen = 0;
    for await (const ids of pages()) {
      statuses += await keyValue.count(ids.map(STATUS));
      seen += await keyValue.count(ids.map(LAST_SEEN));
    }
    const { usedBytes } = await bus.room();
    const { version, uptimeSeconds } = await keyValue.describe();
    const memory = usedBytes === null ? null : `${(usedBytes / 1_048_576).toFixed(2)}M`;
    const server = { redis_memory_used: memory, redis_uptime: uptimeSeconds, redis_version: version };
    return {
      status: "success",
      cache_stats: { device_status_count: statuses, device_lastseen_count: seen, ...server },
    };
  });
  app.delete("/api/v1/admin/cache/device-status", { config: admin }, async (request) => {
    for await (const ids of pages())
      await keyValue.forget(ids.flatMap((id) => [STATUS(id), LAST_SEEN(id), HEARTBEAT(id)]));
    await writeAudit(db, { event: "cache.cleared", entityType: "cache", ...actorOf(request) });
    return { status: "success", message: "All device status caches cleared successfully" };
  });
  app.delete(
    "/api/v1/admin/cache/devices/:id",
    { config: admin, schema: { params: DeviceParams } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      await getDevice(db, id);
      await keyValue.forget([STATUS(id), LAST_SEEN(id), HEARTBEAT(id), `latest:${id}`]);
      await writeAudit(db, {
        event: "cache.cleared",
        entityType: "device",
        entityId: id,
        ...actorOf(request),
      });
      return { status: "success", message: `Cache cleared for device ${id}` };
    },
  );
}
