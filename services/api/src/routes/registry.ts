import {
  countDevices,
  createDevice,
  disableDevice,
  enableDevice,
  getDevice,
  listDevicePage,
  listSensorPage,
  listSensors,
  listSensorTypes,
  listSequenceGaps,
  putSensorType,
  removeDevice,
  rotateDevice,
  updateDevice,
  updateSensor,
  writeAudit,
} from "@sluice/db";
import { DeviceId } from "@sluice/shared-types";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { requireDevice } from "../device-access.ts";
import { actorOf, principalOf } from "../principal.ts";
import { DeviceParams, limit, RowId, RowParams } from "../schemas.ts";
import type { App } from "../server.ts";

const Text = z.string().min(1).max(200);
const PlaceId = z.int().min(1).max(2_147_483_647);
const NewDeviceBody = z.strictObject({
  id: DeviceId,
  type: z.string().min(1).max(50).optional(),
  name: Text.optional(),
  location: Text.optional(),
  ackStored: z.boolean().optional(),
});
const DeviceChange = z.strictObject({
  name: Text.nullable().optional(),
  type: z.string().min(1).max(50).optional(),
  location: Text.nullable().optional(),
  status: z.enum(["online", "offline", "maintenance", "error"]).optional(),
  facilityId: PlaceId.optional(),
  zoneId: PlaceId.nullable().optional(),
  roomId: PlaceId.nullable().optional(),
  rackId: PlaceId.nullable().optional(),
});
const SensorChange = z.strictObject({
  unit: z.string().max(20).nullable().optional(),
  calibrationOffset: z.number().min(-1e12).max(1e12).optional(),
  status: z.enum(["active", "inactive", "calibrating", "faulty"]).optional(),
  type: z.string().max(100).nullable().optional(),
  sampleIntervalSeconds: z.number().min(0.001).max(31_536_000).nullable().optional(),
  notes: z.string().max(2000).nullable().optional(),
});
const decimal = z.number().min(-999_999).max(999_999).nullable().optional();
const SensorTypeBody = z.strictObject({
  unit: z.string().max(20).nullable().optional(),
  category: z
    .enum(["environmental", "water_quality", "system_performance", "crop_performance", "economic"])
    .nullable()
    .optional(),
  expectedMin: decimal,
  expectedMax: decimal,
  description: z.string().max(2000).nullable().optional(),
});

/** Devices, sensors and kinds of sensors. */
export function addRegistryRoutes(app: App, deps: Deps): void {
  addDeviceRoutes(app, deps);
  addCredentialRoutes(app, deps);
  addSensorRoutes(app, deps);
}

function addDeviceRoutes(app: App, { db, config }: Deps): void {
  const Page = z.strictObject({
    limit: limit(1000, 100),
    cursor: DeviceId.optional(),
    status: z.enum(["online", "offline", "maintenance", "error"]).optional(),
    type: z.string().max(50).optional(),
    search: z.string().min(1).max(100).optional(),
  });
  app.get(
    "/api/v1/devices",
    { config: { access: "device" }, schema: { querystring: Page } },
    async (request) => {
      const { limit: most, cursor, status, type, search } = request.query;
      const only = principalOf(request).devices;
      const devices = await listDevicePage(db, { after: cursor, only, status, type, search }, most + 1);
      return page("devices", devices, most, ({ id }) => id);
    },
  );
  app.get("/api/v1/presence", { config: { access: "read" } }, async () => {
    const counts = await countDevices(db);
    return { devices: Object.fromEntries(counts.map(({ status, count }) => [status, count])) };
  });
  app.post(
    "/api/v1/devices",
    { config: { access: "admin" }, schema: { body: NewDeviceBody } },
    async (request, reply) => {
      const { type, name, location, ackStored, id } = request.body;
      const device = await createDevice(db, config.SLUICE_PEPPER, {
        id,
        ...(type === undefined ? {} : { type }),
        ...(name === undefined ? {} : { name }),
        ...(location === undefined ? {} : { location }),
        ...(ackStored === undefined ? {} : { ackStored }),
      });
      await writeAudit(db, {
        event: "device.created",
        entityType: "device",
        entityId: id,
        ...actorOf(request),
      });
      return reply.code(201).send(device);
    },
  );
  app.get(
    "/api/v1/devices/:id",
    { config: { access: "device" }, schema: { params: DeviceParams } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const device = await getDevice(db, id);
      return { ...device, readings: await listSensors(db, id), gaps: await listSequenceGaps(db, id, 100) };
    },
  );
  app.patch(
    "/api/v1/devices/:id",
    { config: { access: "write" }, schema: { params: DeviceParams, body: DeviceChange } },
    async (request) => {
      requireDevice(request, request.params.id);
      await updateDevice(db, request.params.id, request.body, actorOf(request));
      return getDevice(db, request.params.id);
    },
  );
}

function addCredentialRoutes(app: App, { db, config }: Deps): void {
  const admin = { config: { access: "admin" as const }, schema: { params: DeviceParams } };
  app.delete("/api/v1/devices/:id", admin, async (request, reply) => {
    requireDevice(request, request.params.id);
    await removeDevice(db, request.params.id);
    await writeAudit(db, {
      event: "device.removed",
      entityType: "device",
      entityId: request.params.id,
      ...actorOf(request),
    });
    return reply.code(204).send();
  });
  for (const [action, change] of [
    ["disable", disableDevice],
    ["enable", enableDevice],
  ] as const) {
    app.post(`/api/v1/devices/:id/${action}`, admin, async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      await change(db, id);
      await writeAudit(db, {
        event: `device.${action}d`,
        entityType: "device",
        entityId: id,
        ...actorOf(request),
      });
      return getDevice(db, id);
    });
  }
  const Overlap = z.strictObject({ overlapSeconds: z.int().min(0).max(604_800).default(3600) });
  app.post(
    "/api/v1/devices/:id/rotate",
    { config: { access: "admin" }, schema: { params: DeviceParams, body: Overlap } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const secrets = await rotateDevice(db, config.SLUICE_PEPPER, id, {
        overlapMs: request.body.overlapSeconds * 1000,
      });
      await writeAudit(db, {
        event: "device.rotated",
        entityType: "device",
        entityId: id,
        ...actorOf(request),
      });
      return secrets;
    },
  );
}

function addSensorRoutes(app: App, { db }: Deps): void {
  const Page = z.strictObject({
    limit: limit(1000, 100),
    cursor: RowId.optional(),
    device: DeviceId.optional(),
  });
  app.get(
    "/api/v1/sensors",
    { config: { access: "device" }, schema: { querystring: Page } },
    async (request) => {
      const { limit: most, cursor, device } = request.query;
      if (device !== undefined) requireDevice(request, device);
      const only = device === undefined ? principalOf(request).devices : [device];
      return page(
        "sensors",
        await listSensorPage(db, { after: cursor, only }, most + 1),
        most,
        ({ id }) => id,
      );
    },
  );
  app.patch(
    "/api/v1/sensors/:id",
    { config: { access: "write" }, schema: { params: RowParams, body: SensorChange } },
    async (request, reply) => {
      const principal = principalOf(request);
      if (principal.devices !== null) requireDevice(request, ""); // a limited key settles nothing for sensors by number
      await updateSensor(db, request.params.id, request.body, actorOf(request));
      return reply.code(204).send();
    },
  );
  app.get("/api/v1/sensor-types", { config: { access: "read", seldom: true } }, async () => ({
    types: await listSensorTypes(db),
  }));
  app.put(
    "/api/v1/sensor-types/:name",
    {
      config: { access: "write" },
      schema: {
        params: z.object({ name: z.string().regex(/^[A-Za-z0-9_.-]{1,100}$/) }),
        body: SensorTypeBody,
      },
    },
    async (request, reply) => {
      await putSensorType(
        db,
        { name: request.params.name, ...dropUndefined(request.body) },
        actorOf(request),
      );
      return reply.code(204).send();
    },
  );
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };
const dropUndefined = <T extends object>(value: T) =>
  Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as Partial<Defined<T>>;

/** A page, with the cursor of the next where there is one. `rows` has one more than the page holds. */
export function page<T, K extends string>(
  name: K,
  rows: readonly T[],
  most: number,
  cursorOf: (row: T) => string | number,
): Record<K, T[]> & { next: string | null } {
  const shown = rows.slice(0, most);
  const last = shown.at(-1);
  const next = rows.length > most && last !== undefined ? String(cursorOf(last)) : null;
  return { [name]: shown, next } as Record<K, T[]> & { next: string | null };
}
