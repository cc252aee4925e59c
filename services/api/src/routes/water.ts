import { pressureZone } from "@sluice/analytics";
import {
  isWaterNode,
  listEfficiency,
  listNodeMetrics,
  listNodeReadings,
  listNodeStatus,
  listPredictions,
  listQuality,
  listWaterAnomalies,
  putWaterNodes,
  summariseNetwork,
  type TimeRange,
  WATER_WINDOWS,
  writeAudit,
} from "@sluice/db";
import { CACHE_RANGES, type CacheRange, WATER_KEYS } from "@sluice/etl";
import { OutageError } from "@sluice/shared-types";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { requireDevice } from "../device-access.ts";
import { actorOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import { DeviceParams, Instant, limit } from "../schemas.ts";
import type { App } from "../server.ts";

const HOUR_MS = 3_600_000;
const READ = { access: "read" as const };
/** What `efficiency` means everywhere. */
const EFFICIENCY = "volumetric efficiency: output volume / input volume * 100";

const Hours = (usual: number) => limit(87_840, usual);
const Span = {
  hours: Hours(24),
  start_time: Instant.optional(),
  end_time: Instant.optional(),
  limit: limit(10_000, 1000),
};
const Metrics = z.strictObject({ time_window: z.enum(WATER_WINDOWS).default("1hour"), ...Span });
const History = z.strictObject(Span);
const LongWindow = z.enum(["1hour", "1day"]).default("1hour");
const Efficiency = z.strictObject({ time_window: LongWindow, ...Span });
const Quality = z.strictObject({ time_window: LongWindow, limit: limit(1000, 24) });
const Range = z.strictObject({
  time_range: z.enum(Object.keys(CACHE_RANGES) as [CacheRange, ...CacheRange[]]).default("24h"),
});
const Anomalies = z.strictObject({
  ...Span,
  node_id: DeviceParams.shape.id.optional(),
  severity: z.enum(["info", "warning", "critical"]).optional(),
});
const Node = z.strictObject({
  name: z.string().max(200).optional(),
  node_type: z.string().min(1).max(50).optional(),
  zone: z.string().min(1).max(200).optional(),
  upstream_node_id: DeviceParams.shape.id.optional(),
  location: z.string().max(200).optional(),
});

/** Document C's routes of nodes and the network; see processing.ts for its processing. */
export function addWaterRoutes(app: App, deps: Deps): void {
  addNodeRoutes(app, deps);
  addNetworkRoutes(app, deps);
}

function rangeOf(query: {
  hours: number;
  start_time?: number | undefined;
  end_time?: number | undefined;
}): TimeRange {
  const toMs = query.end_time === undefined ? Date.now() : query.end_time / 1000;
  const fromMs = query.start_time === undefined ? toMs - query.hours * HOUR_MS : query.start_time / 1000;
  if (fromMs >= toMs) throw new Refusal(400, "start_time: is not before end_time", { code: "invalid" });
  return { fromMs, toMs };
}

const noneOf = (what: string) => new Refusal(404, what, { code: "not_found" });

function addNodeRoutes(app: App, { db }: Deps): void {
  app.get("/api/v1/nodes", { config: READ }, async () => {
    const nodes = (await listNodeStatus(db)).map((node) => ({
      ...node,
      pressure_zone: node.pressure === null ? null : pressureZone(node.pressure),
    }));
    return { nodes, count: nodes.length };
  });
  app.put(
    "/api/v1/nodes/:id",
    { config: { access: "write" }, schema: { params: DeviceParams, body: Node } },
    async (request) => {
      const { id } = request.params;
      const { node_type, upstream_node_id, ...body } = request.body;
      if (
        upstream_node_id !== undefined &&
        (upstream_node_id === id || !(await isWaterNode(db, upstream_node_id)))
      )
        throw new Refusal(400, "upstream_node_id: is no other node", { code: "invalid" });
      await putWaterNodes(db, [{ node: id, type: node_type, upstream: upstream_node_id, ...body }]);
      await writeAudit(db, {
        event: "water_node.changed",
        entityType: "device",
        entityId: id,
        ...actorOf(request),
      });
      const [node] = await listNodeStatus(db, id);
      return node;
    },
  );
  app.get(
    "/api/v1/nodes/:id/metrics",
    { config: { access: "device" }, schema: { params: DeviceParams, querystring: Metrics } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const { time_window, limit: most } = request.query;
      const metrics = await listNodeMetrics(db, id, time_window, rangeOf(request.query), most);
      if (metrics.length === 0) throw noneOf(`no ${time_window} metrics of node '${id}' in this range`);
      return { node_id: id, time_window, count: metrics.length, latest: metrics[0], metrics };
    },
  );
  app.get(
    "/api/v1/nodes/:id/history",
    { config: { access: "device" }, schema: { params: DeviceParams, querystring: History } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const range = rangeOf(request.query);
      const readings = await listNodeReadings(db, id, range, request.query.limit);
      if (readings.length === 0) throw noneOf(`no readings of node '${id}' in this range`);
      return {
        node_id: id,
        start_time: new Date(range.fromMs).toISOString(),
        end_time: new Date(range.toMs).toISOString(),
        count: readings.length,
        readings,
      };
    },
  );
  app.get(
    "/api/v1/quality/:id",
    { config: { access: "device" }, schema: { params: DeviceParams, querystring: Quality } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const { time_window, limit: most } = request.query;
      const history = await listQuality(db, id, time_window, most);
      if (history.length === 0) throw noneOf(`nothing is known of the quality of node '${id}'`);
      return { ...history[0], history };
    },
  );
  app.get(
    "/api/v1/predictions/:id",
    { config: { access: "device" }, schema: { params: DeviceParams } },
    async (request) => {
      const { id } = request.params;
      requireDevice(request, id);
      const predictions = await listPredictions(db, id);
      if (predictions.length === 0) throw noneOf(`no active model has predicted anything for node '${id}'`);
      return { node_id: id, predictions };
    },
  );
}

function addNetworkRoutes(app: App, { db, keyValue }: Deps): void {
  /** A copy of the cache with its age; undefined where there is none, or no Redis. */
  const cached = async (key: string): Promise<Record<string, unknown> | undefined> => {
    const text = await keyValue.find(key).catch((error: unknown) => {
      if (error instanceof OutageError) return undefined;
      throw error;
    });
    if (text === undefined) return undefined;
    const value = JSON.parse(text) as { cached_at: string };
    return {
      ...value,
      age_seconds: Math.max(0, Math.round((Date.now() - Date.parse(value.cached_at)) / 1000)),
    };
  };
  const network = async (range: CacheRange): Promise<Record<string, unknown>> => {
    const copy = await cached(WATER_KEYS.system(range));
    if (copy) return copy;
    const nowMs = Date.now();
    const span = { fromMs: nowMs - CACHE_RANGES[range] * HOUR_MS, toMs: nowMs };
    return { ...(await summariseNetwork(db, span)), range, cached_at: null, age_seconds: null };
  };
  app.get("/api/v1/network/metrics", { config: READ, schema: { querystring: Range } }, async (request) => ({
    ...(await network(request.query.time_range)),
    definition: EFFICIENCY,
  }));
  app.get(
    "/api/v1/network/efficiency",
    { config: READ, schema: { querystring: Efficiency } },
    async (request) => {
      const { time_window, limit: most } = request.query;
      const efficiency = await listEfficiency(db, time_window, rangeOf(request.query), most);
      if (efficiency.length === 0) throw noneOf(`no ${time_window} efficiency in this range`);
      return {
        time_window,
        definition: EFFICIENCY,
        count: efficiency.length,
        latest: efficiency[0],
        efficiency,
      };
    },
  );
  app.get("/api/v1/anomalies", { config: READ, schema: { querystring: Anomalies } }, async (request) => {
    const { node_id: node, severity, limit: most } = request.query;
    const anomalies = await listWaterAnomalies(db, { ...rangeOf(request.query), node, severity }, most);
    return { anomalies, count: anomalies.length };
  });
  app.get("/api/v1/dashboard/summary", { config: READ }, async () => {
    const nodes = await listNodeStatus(db);
    const nowMs = Date.now();
    const [efficiency] = await listEfficiency(db, "1hour", { fromMs: nowMs - 48 * HOUR_MS, toMs: nowMs }, 1);
    const recent = await cached(WATER_KEYS.anomalies);
    return {
      timestamp: new Date(nowMs).toISOString(),
      nodes: {
        total: nodes.length,
        active: nodes.filter(({ is_active }) => is_active).length,
        online: nodes.filter(
          ({ timestamp }) => timestamp && nowMs - Date.parse(String(timestamp)) < HOUR_MS / 2,
        ).length,
      },
      network: await network("24h"),
      efficiency: efficiency ?? null,
      recent_anomalies: recent ?? {
        anomalies: await listWaterAnomalies(db, { fromMs: nowMs - 24 * HOUR_MS, toMs: nowMs }, 100),
        cached_at: null,
        age_seconds: null,
      },
    };
  });
}
