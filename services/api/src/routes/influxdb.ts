import { deleteReadings, listTotals } from "@sluice/db";
import { type Influx, influxQl } from "@sluice/influx";
import { OutageError } from "@sluice/shared-types";
import { z } from "zod";
import { deleteDeviceRange } from "../delete-readings.ts";
import type { Deps } from "../deps.ts";
import { requireDevice, requireDeviceChange } from "../device-access.ts";
import { parseInstant, queryDevice } from "../influx-data.ts";
import { actorOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import { DeviceParams, limit } from "../schemas.ts";
import type { App } from "../server.ts";

const Measurement = z
  .string()
  .min(1)
  .max(128)
  .refine((name) => !/[\p{Cc}]/u.test(name), "holds no control characters");
const Range = z.strictObject({
  start: z.string().max(40).default("-1h"),
  stop: z.string().max(40).default("now()"),
  measurement: Measurement.optional(),
  limit: limit(10_000, 1000),
});
const Latest = z.strictObject({ measurement: Measurement.optional() });

/** Document B's queries of InfluxDB. A key reads and deletes what is its devices', nothing else. */
export function addInfluxRoutes(app: App, deps: Deps): void {
  const { db } = deps;
  const device = { access: "device" as const };
  app.get(
    "/api/v1/influxdb/device/:id/data",
    { config: device, schema: { params: DeviceParams, querystring: Range } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const { start, stop, measurement, limit: most } = request.query;
      const points = await queryDevice(influxOf(deps), {
        device: id,
        measurement,
        limit: most,
        ...between(start, stop),
      });
      return {
        device_id: id,
        measurement: measurement ?? null,
        start_time: start,
        stop_time: stop,
        data_points: points,
        count: points.length,
      };
    },
  );
  app.get(
    "/api/v1/influxdb/device/:id/latest",
    { config: device, schema: { params: DeviceParams, querystring: Latest } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const { measurement } = request.query;
      const toUs = (Date.now() + deps.config.MAX_FUTURE) * 1000;
      const query = { device: id, measurement, fromUs: 0, toUs, limit: 1000, newestFirst: true };
      const points = await queryDevice(influxOf(deps), query);
      const newest = points.filter(({ time }) => time === points[0]?.time);
      if (newest.length === 0) {
        const nothing = { device_id: id, measurement: measurement ?? null, latest_data: null };
        throw new Refusal(404, `no data of device '${id}'`, { code: "not_found", ...nothing });
      }
      return {
        device_id: id,
        measurement: measurement ?? newest[0]?.measurement,
        timestamp: newest[0]?.time,
        latest_data: Object.fromEntries(newest.map(({ field, value }) => [String(field), value])),
        data_points: newest,
      };
    },
  );
  app.delete(
    "/api/v1/influxdb/device/:id/data",
    {
      config: device,
      schema: {
        params: DeviceParams,
        querystring: Range.omit({ limit: true }),
      },
    },
    async (request) => {
      const { id } = request.params;
      requireDeviceChange(request, id);
      const { start, stop, measurement } = request.query;
      const range = between(start, stop);
      const influx = influxOf(deps);
      await influx.deleteRange({
        tags: { device_id: id },
        ...range,
        ...(measurement === undefined ? {} : { measurement }),
      });
      // PostgreSQL does not keep message types; the value of one is the field of that name.
      const actor = actorOf(request);
      const deleted =
        measurement === undefined
          ? await deleteDeviceRange(deps, id, range, actor)
          : await deleteReadings(db, id, { ...range, field: measurement }, actor);
      return {
        message: "Data deleted successfully",
        device_id: id,
        start_time: start,
        stop_time: stop,
        deleted,
      };
    },
  );
  app.get("/api/v1/influxdb/buckets", { config: { access: "read" } }, async () => {
    const { INFLUXDB_BUCKET: name, INFLUXDB_ORG: org } = deps.config;
    await influxOf(deps).ping();
    return { buckets: [{ id: name, name, org, org_id: org, retention_rules: [] }], count: 1 };
  });
  app.get("/api/v1/influxdb/stats", { config: { access: "read" } }, async () => {
    const series = await influxOf(deps).query(influxQl`SHOW MEASUREMENTS LIMIT 10000`);
    const measurements = series.flatMap(({ rows }) => rows.map(({ name }) => name));
    const totals = await listTotals(db);
    const { INFLUXDB_BUCKET: bucket, INFLUXDB_ORG: org, INFLUXDB_TIMEOUT: timeout } = deps.config;
    return {
      bucket,
      org,
      timeout,
      connected: true,
      health: { status: "pass", message: "OK" },
      measurements,
      measurement_count: measurements.length,
      readings_stored: totals.reduce((sum, { readings }) => sum + readings, 0),
    };
  });
}

function influxOf({ influx }: Deps): Influx {
  if (influx === undefined) throw new OutageError("influx", "InfluxDB is not configured");
  return influx;
}

function between(start: string, stop: string): { fromUs: number; toUs: number } {
  const nowUs = Date.now() * 1000;
  const [fromUs, toUs] = [parseInstant(start, nowUs), parseInstant(stop, nowUs)];
  const wrong = fromUs === undefined ? "start" : toUs === undefined ? "stop" : undefined;
  if (fromUs === undefined || toUs === undefined) {
    throw new Refusal(400, `${wrong}: is -1h, -7d, now(), or a time`, { code: "invalid" });
  }
  if (fromUs >= toUs) throw new Refusal(400, "start: is before stop", { code: "invalid" });
  return { fromUs, toUs };
}
