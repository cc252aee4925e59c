import { getEtlFacts, isSchedulerRunning } from "@sluice/db";
import { wantsPage } from "../console.ts";
import type { Deps } from "../deps.ts";
import type { App } from "../server.ts";

const PUBLIC = { config: { access: "public" as const } };
const VERSION = "1";

/** What anybody may ask: what this is, whether it works, and what the time is. */
export function addPublicRoutes(app: App, deps: Deps): void {
  const startedMs = Date.now();
  const about = {
    name: "Sluice",
    service: "IoTFlow Connectivity Layer",
    version: VERSION,
    status: "running",
    endpoints: {
      docs: "/docs",
      health: "/health",
      status: "/status",
      devices: "/api/v1/devices",
      series: "/api/v1/series",
      console: "/console/",
    },
  };
  app.get("/", PUBLIC, async (request, reply) => {
    if (wantsPage(request.headers.accept)) return reply.redirect("/console/", 302);
    return about;
  });
  const health = async () => {
    const [postgres, bus, influx] = await Promise.all([
      isUp(() => deps.db.ping()),
      isUp(() => deps.bus.ping()),
      deps.influx === undefined ? undefined : isUp(() => deps.influx?.ping() ?? Promise.resolve()),
    ]);
    const ok = postgres && bus;
    const checks = {
      postgres: said(postgres),
      redis: said(bus),
      ...(influx === undefined ? {} : { influxdb: said(influx) }),
    };
    return {
      ok,
      body: { status: ok ? "healthy" : "unhealthy", timestamp: new Date().toISOString(), checks },
    };
  };
  for (const path of ["/health", "/api/health"]) {
    app.get(path, PUBLIC, async (_request, reply) => {
      const { ok, body } = await health();
      return reply.code(ok ? 200 : 503).send(body);
    });
  }
  app.get("/status", PUBLIC, async () => {
    const { body } = await health();
    return {
      ...body,
      service: "sluice",
      version: VERSION,
      uptime_seconds: Math.round((Date.now() - startedMs) / 1000),
    };
  });
  app.get("/api/v1/now", PUBLIC, async () => {
    const epochMs = Date.now();
    return { epochMs, epochS: Math.floor(epochMs / 1000), iso: new Date(epochMs).toISOString() };
  });
  app.get("/api/v1/influxdb/health", PUBLIC, async (_request, reply) => {
    const connected =
      deps.influx !== undefined && (await isUp(() => deps.influx?.ping() ?? Promise.resolve()));
    const message =
      deps.influx === undefined
        ? "InfluxDB is not configured"
        : connected
          ? "OK"
          : "InfluxDB does not answer";
    const version = deps.influx === undefined ? null : `${deps.influx.version}.x`;
    return reply
      .code(connected ? 200 : 503)
      .send({ influxdb: { status: connected ? "pass" : "fail", message, version }, connected });
  });
  app.get("/api/etl/status", PUBLIC, async () => {
    const facts = await getEtlFacts(deps.db);
    const { influx } = deps;
    return {
      initialized: true,
      scheduler_running: await isSchedulerRunning(deps.db),
      influx_connected: influx !== undefined && (await isUp(() => influx.ping())),
      pg_connected: true,
      sensor_mappings: facts.sensorMappings,
      watermarks: facts.watermarks,
      row_counts: { hourly_rows: facts.hourlyRows, daily_rows: facts.dailyRows },
    };
  });
  app.get("/api/openapi.json", { config: { access: "public", seldom: true } }, async () => app.swagger());
  app.get("/api/docs", PUBLIC, async (_request, reply) => reply.redirect("/docs", 302));
}

const PING_MS = 2000;

async function isUp(ping: () => Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), PING_MS);
  });
  try {
    return await Promise.race([ping().then(() => true), late]);
  } catch {
    return false; // that is the answer
  } finally {
    clearTimeout(timer);
  }
}

const said = (up: boolean) => (up ? "healthy" : "unhealthy");
