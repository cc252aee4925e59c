import { Readable } from "node:stream";
import { type ChartSensor, getChartSensor, listLatest, noSensor } from "@sluice/db";
import { DeviceId } from "@sluice/shared-types";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { requireDevice } from "../device-access.ts";
import { openLatest } from "../latest.ts";
import { maySee, principalOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import { DeviceParams, FieldName, Instant, iso, limit, RowId, rangeOf } from "../schemas.ts";
import { readSeries, type SeriesPoint, streamSeries } from "../series.ts";
import type { App } from "../server.ts";

const DAY_MS = 86_400_000;
/** Nothing older or newer is stored. */
const LONGEST_MS = 100 * 366 * DAY_MS;

const Query = z.strictObject({
  /** A sensor's number, or `device/field`. */
  sensor: z.string().max(200).optional(),
  device: DeviceId.optional(),
  field: FieldName.optional(),
  from: Instant.optional(),
  to: Instant.optional(),
  resolution: z.enum(["auto", "raw", "5m", "1h", "1d"]).default("auto"),
  method: z.enum(["minmax", "lttb", "none"]).default("minmax"),
  maxPoints: limit(10_000, 1000),
  format: z.enum(["json", "csv", "ndjson"]).default("json"),
});

/** Series of sensors and their newest values. */
export function addSeriesRoutes(app: App, deps: Deps): void {
  const { db, reads } = deps;
  app.get(
    "/api/v1/series",
    { config: { access: "device" }, schema: { querystring: Query } },
    async (request, reply) => {
      const { query } = request;
      const ref = refOf(query);
      // Whoever may not see all must not learn which sensors there are.
      const requireVisible = ({ device }: { device: string }) => {
        if (!maySee(principalOf(request), device)) throw noSensor(ref);
      };
      if ("device" in ref) requireVisible(ref);
      const range = rangeOf(query, DAY_MS);
      if (range === undefined) throw new Refusal(400, "from: is before to", { code: "invalid" });
      if (range.toUs - range.fromUs > LONGEST_MS * 1000)
        throw new Refusal(400, "from: the range is at most 100 years");
      if (query.format !== "json") {
        const sensor = await getChartSensor(db, ref);
        requireVisible(sensor);
        const resolution = query.resolution === "auto" ? "raw" : query.resolution;
        const pages = streamSeries(reads, sensor, range, resolution);
        const csv = query.format === "csv";
        return reply
          .header("content-type", csv ? "text/csv; charset=utf-8" : "application/x-ndjson")
          .header("content-disposition", `attachment; filename="${fileName(sensor)}.${query.format}"`)
          .send(Readable.from(csv ? toCsv(pages) : toNdjson(pages)));
      }
      const wanted = {
        ...range,
        resolution: query.resolution,
        thinning: query.method,
        maxPoints: query.maxPoints,
      };
      const { sensor, points, gaps, more, resolution } = await readSeries(reads, ref, wanted);
      requireVisible(sensor);
      const { id, device, field, unit } = sensor;
      const answer = {
        sensor: { id, device, field, unit },
        from: iso(range.fromUs),
        to: iso(range.toUs),
        resolution,
        points: points.map(shown),
        gaps: gaps.map(({ fromUs, toUs }) => ({ from: iso(fromUs), to: iso(toUs) })),
        count: points.length,
        next: more ? iso((points.at(-1)?.timeUs ?? 0) + 1) : null,
      };
      // As bytes: sending a long text costs three times as much.
      return reply.type("application/json; charset=utf-8").send(Buffer.from(JSON.stringify(answer)));
    },
  );
  const latest = openLatest(deps.keyValue, (device) => listLatest(db, device));
  app.get(
    "/api/v1/devices/:id/latest",
    { config: { access: "device" }, schema: { params: DeviceParams } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const readings = await latest(id);
      if (readings.length === 0)
        throw new Refusal(404, `no readings of device '${id}'`, { code: "not_found" });
      return { device: id, readings };
    },
  );
  const Latest = z.strictObject({ sensor_id: DeviceId });
  app.get(
    "/api/data/latest",
    { config: { access: "device" }, schema: { querystring: Latest } },
    async (request) => {
      const { sensor_id } = request.query;
      requireDevice(request, sensor_id);
      const readings = await latest(sensor_id);
      if (readings.length === 0)
        throw new Refusal(404, `no readings of '${sensor_id}'`, { code: "not_found" });
      const times = readings.flatMap(({ time }) => (time === null ? [] : [String(time)])).sort();
      return {
        sensor_id,
        timestamp: times.at(-1) ?? null,
        data: Object.fromEntries(readings.map(({ field, value }) => [field, value])),
      };
    },
  );
}

function refOf({
  sensor,
  device,
  field,
}: z.output<typeof Query>): { id: number } | { device: string; field: string } {
  if (device !== undefined && field !== undefined && sensor === undefined) return { device, field };
  if (sensor === undefined || device !== undefined || field !== undefined) {
    throw new Refusal(400, "sensor: name a sensor by number or device/field, or give device and field", {
      code: "invalid",
    });
  }
  const number = RowId.safeParse(sensor);
  if (number.success && number.data <= 2_147_483_647) return { id: number.data };
  const slash = sensor.indexOf("/");
  const named = DeviceId.safeParse(sensor.slice(0, Math.max(0, slash)));
  if (slash < 1 || !named.success || slash === sensor.length - 1) {
    throw new Refusal(400, "sensor: is a number or device/field", { code: "invalid" });
  }
  return { device: named.data, field: sensor.slice(slash + 1) };
}

const fileName = ({ device, field }: ChartSensor) =>
  `${device}_${field}`.replace(/[^A-Za-z0-9_.-]/g, "_").slice(0, 120);

/** Without a spread: a chart has a thousand of them. What is undefined is not written. */
const shown = ({ timeUs, value, min, max, n, status, flags }: SeriesPoint) =>
  n === undefined
    ? { time: iso(timeUs), value, status, flags }
    : { time: iso(timeUs), value, min, max, n, status, flags };

async function* toNdjson(pages: AsyncIterable<SeriesPoint[]>): AsyncGenerator<string> {
  for await (const points of pages) yield points.map((point) => `${JSON.stringify(shown(point))}\n`).join("");
}

async function* toCsv(pages: AsyncIterable<SeriesPoint[]>): AsyncGenerator<string> {
  yield "time,value,min,max,n,status,flags\n";
  for await (const points of pages) {
    yield points
      .map(({ timeUs, value, min, max, n, status, flags }) =>
        [
          iso(timeUs),
          cell(value),
          min ?? "",
          max ?? "",
          n ?? "",
          status ?? "ok",
          flags?.join(" ") ?? "",
        ].join(","),
      )
      .map((line) => `${line}\n`)
      .join("");
  }
}

/** A text that a spreadsheet would take for a formula is marked as text. */
function cell(value: number | string | null): string {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
