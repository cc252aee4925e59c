import {
  listPlacedSensors,
  listRooms,
  listSensorStatistics,
  type PlacedSensor,
  type SensorStatistics,
} from "@sluice/db";
import { CAN_NODES } from "@sluice/shared-types";
import { z } from "zod";
import { clusterOf, liveOf, STALE_MS } from "../cea-live.ts";
import type { Deps } from "../deps.ts";
import { Refusal } from "../refusal.ts";
import { Instant, iso, limit, rangeOf } from "../schemas.ts";
import { readSeries } from "../series.ts";
import type { App } from "../server.ts";
import { addCeaSockets } from "./cea-sockets.ts";

const HOUR_MS = 3_600_000;
const LONGEST_US = 31 * 24 * HOUR_MS * 1000;

const Name = z.string().min(1).max(128);
const Place = z.object({ location: Name, cluster: Name });

/** The controlled-environment document's pages: live values, history, statistics, configuration and `/ws`. */
export function addCeaRoutes(app: App, deps: Deps): void {
  addLiveValues(app, deps);
  addHistory(app, deps);
  addConfiguration(app, deps);
  addCeaSockets(app, deps);
}

async function sensorsAt(deps: Deps, location?: string, cluster?: string): Promise<PlacedSensor[]> {
  const sensors = (await listPlacedSensors(deps.db, location)).filter(
    (sensor) => cluster === undefined || clusterOf(sensor) === cluster,
  );
  if (sensors.length > 0 || location === undefined) return sensors;
  throw new Refusal(404, "no sensors there", { code: "not_found" });
}

function addLiveValues(app: App, deps: Deps): void {
  const config = { access: "read" } as const;
  const all = async () => ({ locations: await liveOf(deps, await sensorsAt(deps)) });
  app.get("/api/live", { config }, all);
  app.get("/api/sensors/live/all", { config }, all);
  // as the document has it: the cluster before the location
  const Cluster = z.object({ cluster: Name });
  app.get("/api/live/:cluster", { config, schema: { params: Cluster } }, async ({ params }) => {
    const sensors = (await sensorsAt(deps)).filter((sensor) => clusterOf(sensor) === params.cluster);
    if (sensors.length === 0) throw new Refusal(404, "no sensors there", { code: "not_found" });
    return { cluster: params.cluster, locations: await liveOf(deps, sensors) };
  });
  const one = async ({ location, cluster }: z.output<typeof Place>) => {
    const values = await liveOf(deps, await sensorsAt(deps, location, cluster));
    return { location, cluster, sensors: values[location]?.[cluster] ?? {} };
  };
  app.get("/api/live/:cluster/:location", { config, schema: { params: Place } }, ({ params }) => one(params));
  app.get("/api/sensors/:location/:cluster/live", { config, schema: { params: Place } }, ({ params }) =>
    one(params),
  );
}

const Range = { from: Instant.optional(), to: Instant.optional() };

/** @throws Refusal 400 for a range that is none, or longer than a month */
function checkedRange(query: { from?: number | undefined; to?: number | undefined }, usualMs: number) {
  const range = rangeOf(query, usualMs);
  if (!range) throw new Refusal(400, "from: has to be before to", { code: "invalid" });
  if (range.toUs - range.fromUs > LONGEST_US)
    throw new Refusal(400, "from: at most 31 days before to", { code: "invalid" });
  return range;
}

function addHistory(app: App, deps: Deps): void {
  const config = { access: "read" } as const;
  const History = z.strictObject({ ...Range, limit: limit(10_000, 1000) });
  app.get(
    "/api/sensors/:location/:cluster",
    { config, schema: { params: Place, querystring: History } },
    async ({ params: { location, cluster }, query }) => {
      const range = checkedRange(query, HOUR_MS);
      const sensors = await sensorsAt(deps, location, cluster);
      const shown: Record<string, object> = {};
      for (const { device, ...sensor } of sensors) {
        const series = {
          ...sensor,
          device,
          field: sensor.name,
          valueType: "number",
          sampleIntervalMs: null,
        } as const;
        const request = { ...range, resolution: "auto", thinning: "minmax", maxPoints: query.limit } as const;
        const { resolution, points } = await readSeries(deps.db, series, request);
        shown[sensor.name] = {
          sensor_id: sensor.id,
          unit: sensor.unit,
          resolution,
          points: points.map(({ timeUs, ...point }) => ({ time: iso(timeUs), ...point })),
        };
      }
      return { location, cluster, from: iso(range.fromUs), to: iso(range.toUs), sensors: shown };
    },
  );
  const Typed = Place.extend({ sensor_type: Name });
  app.get(
    "/api/statistics/:sensor_type/:location/:cluster",
    { config, schema: { params: Typed, querystring: z.strictObject(Range) } },
    async ({ params: { sensor_type: type, location, cluster }, query }) => {
      const range = checkedRange(query, 24 * HOUR_MS);
      const sensors = (await sensorsAt(deps, location, cluster)).filter(
        ({ name }) => name === type || name.replace(/_[a-z]$/, "") === type,
      );
      if (sensors.length === 0) throw new Refusal(404, `no sensor '${type}' there`, { code: "not_found" });
      const found = await listSensorStatistics(
        deps.db,
        sensors.map(({ id }) => id),
        range,
      );
      return {
        sensor_type: type,
        location,
        cluster,
        from: iso(range.fromUs),
        to: iso(range.toUs),
        sensors: Object.fromEntries(sensors.map((sensor) => [sensor.name, statisticsOf(sensor, found)])),
      };
    },
  );
}

function statisticsOf({ id, unit }: PlacedSensor, found: readonly SensorStatistics[]) {
  const {
    n = 0,
    min = null,
    max = null,
    avg = null,
    stdDev = null,
  } = found.find(({ sensorId }) => sensorId === id) ?? {};
  return { sensor_id: id, unit, count: n, min, max, avg, std_dev: stdDev };
}

function addConfiguration(app: App, deps: Deps): void {
  const config = { access: "read" } as const;
  const locations = async () => {
    const sensors = await listPlacedSensors(deps.db);
    return (await listRooms(deps.db)).map(({ targetVpd, targetTemp, ...room }) => {
      const here = sensors.filter(({ location }) => location === room.name);
      return {
        ...room,
        target_vpd: targetVpd,
        target_temp: targetTemp,
        clusters: [...new Set(here.map(clusterOf))].sort(),
        sensors: here.map((sensor) => ({
          sensor_id: sensor.id,
          name: sensor.name,
          unit: sensor.unit,
          cluster: clusterOf(sensor),
          device: sensor.device,
          calibration_offset: sensor.calibrationOffset,
        })),
      };
    });
  };
  app.get("/api/config", { config }, async () => ({
    stale_after_seconds: STALE_MS / 1000,
    can_nodes: CAN_NODES,
    locations: await locations(),
  }));
  app.get("/api/config/locations", { config }, async () => ({
    locations: (await locations()).map(({ name, clusters }) => ({ name, clusters })),
  }));
}
