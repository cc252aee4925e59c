import {
  AGGREGATIONS,
  type Aggregation,
  aggregateReadings,
  countDevices,
  getChartSensor,
  getDevice,
  listDevicePage,
  listDeviceReadings,
} from "@sluice/db";
import { z } from "zod";
import { deleteDeviceRange } from "../../delete-readings.ts";
import type { Deps } from "../../deps.ts";
import { requireDevice, requireDeviceChange } from "../../device-access.ts";
import { parseInstant } from "../../influx-data.ts";
import { actorOf, principalOf } from "../../principal.ts";
import { Refusal } from "../../refusal.ts";
import { DeviceParams, FieldName, iso, limit } from "../../schemas.ts";
import type { App } from "../../server.ts";
import { rangeBetween, readingOf } from "./shapes.ts";

const MAX_WINDOWS = 10_000;
const MOST_DEVICES = 100;
const DAY_US = 86_400_000_000;
const device = { access: "device" as const };
const Query = z.strictObject({
  start_time: z.string().max(40).default("-1h"),
  end_time: z.string().max(40).default("now()"),
  field: FieldName.optional(),
  limit: limit(10_000, 1000),
});
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
const Stretch = z.strictObject({
  start_time: z.string().max(40).optional(),
  stop_time: z.string().max(40).optional(),
});
const OfUser = z.strictObject({
  limit: limit(1000, 100),
  start_time: z.string().max(40).default("-24h"),
  end_time: z.string().max(40).default("now()"),
});

/** Document B's telemetry out of PostgreSQL. */
export function addTelemetryRoutes(app: App, deps: Deps): void {
  const { db, reads } = deps;
  const about = async (id: string) => {
    const found = await getDevice(db, id);
    return { device_id: id, device_name: found.name ?? id, device_type: found.type };
  };
  app.get(
    "/api/v1/telemetry/:id",
    { config: device, schema: { params: DeviceParams, querystring: Query } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const { start_time, end_time, field, limit: most } = request.query;
      const rows = await listDeviceReadings(
        reads,
        id,
        { ...rangeBetween(start_time, end_time), field },
        most,
      );
      return { ...(await about(id)), start_time, data: rows.map(readingOf), count: rows.length };
    },
  );
  app.get(
    "/api/v1/telemetry/:id/latest",
    { config: device, schema: { params: DeviceParams } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const range = { fromUs: 0, toUs: Date.now() * 1000 + DAY_US };
      const readings = await listDeviceReadings(db, id, range, 256);
      const [first] = readings;
      if (!first) throw new Refusal(404, `no telemetry of device '${id}'`, { code: "not_found" });
      const together = readings.filter(({ timeUs }) => timeUs === first.timeUs);
      const timestamp = iso(first.timeUs);
      const values = Object.fromEntries(together.map(({ field, value }) => [field, value]));
      return { ...(await about(id)), timestamp, latest_data: { timestamp, ...values } };
    },
  );
  app.get(
    "/api/v1/telemetry/:id/aggregated",
    { config: device, schema: { params: DeviceParams, querystring: Aggregated } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const { field, aggregation, window, start_time, end_time } = request.query;
      const range = rangeBetween(start_time, end_time);
      const windowUs = (parseInstant(window, 0) ?? 0) || 1;
      if ((range.toUs - range.fromUs) / windowUs > MAX_WINDOWS) {
        throw new Refusal(400, `window: more than ${MAX_WINDOWS} windows in the range`, { code: "invalid" });
      }
      const sensor = await getChartSensor(db, { device: id, field });
      const how = { aggregation, windowUs, limit: MAX_WINDOWS + 1 };
      const rows = await aggregateReadings(reads, sensor, range, how);
      const data = rows.map(({ timeUs, value }) => ({ time: iso(timeUs), value }));
      return { ...(await about(id)), field, aggregation, window, start_time, data, count: data.length };
    },
  );
  app.delete(
    "/api/v1/telemetry/:id",
    {
      config: device,
      schema: { params: DeviceParams, querystring: Stretch, body: Stretch.nullish() },
    },
    async (request) => {
      const { id } = request.params;
      requireDeviceChange(request, id);
      // The range may stand in the URL, or as the document has it in the body.
      const { start_time, stop_time = "now()" } = { ...request.query, ...request.body };
      if (start_time === undefined) throw new Refusal(400, "start_time: is missing", { code: "invalid" });
      const range = rangeBetween(start_time, stop_time);
      const { device_name } = await about(id);
      const deleted = await deleteDeviceRange(deps, id, range, actorOf(request));
      const message = `Telemetry data deleted for device ${device_name}`;
      return { message, device_id: id, start_time, stop_time, deleted };
    },
  );
  addSummaryRoutes(app, deps);
}

function addSummaryRoutes(app: App, { db, influx, config }: Deps): void {
  app.get("/api/v1/telemetry/status", { config: { access: "public" } }, async () => {
    const counts = await countDevices(db);
    return {
      status: "healthy",
      postgres_available: true,
      influxdb_configured: influx !== undefined,
      influxdb_bucket: influx === undefined ? null : config.INFLUXDB_BUCKET,
      total_devices: counts.reduce((sum, { count }) => sum + count, 0),
    };
  });
  const User = z.object({ user: z.string().regex(/^[A-Za-z0-9_@.-]{1,254}$/, "is the id of a user") });
  // Devices belong to the organisation, not to a person: whoever asks gets what he may see.
  app.get(
    "/api/v1/telemetry/user/:user",
    { config: device, schema: { params: User, querystring: OfUser } },
    async (request) => {
      const principal = principalOf(request);
      const { user } = request.params;
      const self = principal.kind !== "person" || user === String(principal.id) || user === principal.email;
      if (!self && !principal.scopes.includes("admin"))
        throw new Refusal(403, "this is somebody else", { code: "not_authorised" });
      const { limit: most, start_time, end_time } = request.query;
      const range = rangeBetween(start_time, end_time);
      const devices = await listDevicePage(db, { only: principal.devices }, MOST_DEVICES);
      const found = await Promise.all(
        devices.map(async ({ id }) =>
          (await listDeviceReadings(db, id, range, most)).map((reading) => ({ device_id: id, ...reading })),
        ),
      );
      const rows = found.flat().sort((a, b) => b.timeUs - a.timeUs);
      const telemetry = rows.slice(0, most).map((row) => ({ device_id: row.device_id, ...readingOf(row) }));
      const count = telemetry.length;
      return { status: "success", user_id: user, telemetry, count, total_count: rows.length, limit: most };
    },
  );
}
