import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server as HttpServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { getBinary, type Server, startPrometheus } from "@sluice/servers";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";
import { parse, stringify } from "yaml";

const DEPLOY = resolve(import.meta.dirname, "../../deploy");
const run = promisify(execFile);
const promtool = (...args: string[]) =>
  run(getBinary("promtool", "prometheus"), args, { cwd: join(DEPLOY, "prometheus") });

interface Target {
  datasource: { uid: string };
  expr?: string;
  rawSql?: string;
  query?: string;
}
interface Dashboard {
  title: string;
  panels: { title: string; targets: Target[] }[];
  templating: { list: { name: string; query: string }[] };
}

const dashboards = readdirSync(join(DEPLOY, "grafana/dashboards")).map(
  (file) => JSON.parse(readFileSync(join(DEPLOY, "grafana/dashboards", file), "utf8")) as Dashboard,
);
const rules = parse(readFileSync(join(DEPLOY, "prometheus/rules.yml"), "utf8")) as {
  groups: { rules: { alert: string; expr: string }[] }[];
};
/** Every panel's queries to one data source, with where they stand. */
const queriesOf = (uid: string) =>
  dashboards.flatMap(({ title, panels }) =>
    panels.flatMap((panel) =>
      panel.targets
        .filter(({ datasource }) => datasource.uid === uid)
        .map((target) => ({ where: `${title}: ${panel.title}`, target })),
    ),
  );

const folder = mkdtempSync(join(tmpdir(), "sluice observability "));
let sluice: Installation;
let prometheus: Server;
let db: Db;

interface ReceivedSpan {
  service: string;
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
}
const spans: ReceivedSpan[] = [];
let collector: HttpServer;

/** What a collector of OpenTelemetry does, as far as a test needs it. */
function openCollector(): Promise<string> {
  collector = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => {
      text += chunk;
    });
    request.on("end", () => {
      if (request.url === "/v1/traces") {
        for (const { resource, scopeSpans } of JSON.parse(text).resourceSpans) {
          const named = resource.attributes.find((one: { key: string }) => one.key === "service.name");
          const service = named?.value.stringValue;
          for (const scope of scopeSpans) for (const span of scope.spans) spans.push({ ...span, service });
        }
      }
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  return new Promise((done) => {
    collector.listen(0, "127.0.0.1", () => {
      done(`http://127.0.0.1:${(collector.address() as { port: number }).port}`);
    });
  });
}

beforeAll(async () => {
  const env = { SLUICE_OTLP_URL: await openCollector(), SLUICE_TRACE_RATIO: "1" };
  sluice = await startInstallation({ env });
  const status = JSON.parse(await sluice.sluice("status", "--json")) as { services: { opsUrl: string }[] };
  cpSync(join(DEPLOY, "prometheus"), folder, { recursive: true });
  const config = parse(readFileSync(join(folder, "prometheus.yml"), "utf8"));
  config.global.scrape_interval = "1s";
  config.scrape_configs[0].static_configs[0].targets = status.services.map(
    ({ opsUrl }) => new URL(opsUrl).host,
  );
  writeFileSync(join(folder, "prometheus.yml"), stringify(config));
  prometheus = await startPrometheus({ configFile: join(folder, "prometheus.yml") });
  await sluice.sluice("simulate", "--devices", "3", "--rate", "30", "--seconds", "2");
  db = await openDb(sluice.urls().postgresUrl, { max: 2 });
  await db.query("INSERT INTO core.rooms (name) VALUES ('Flower')");
  await db.query("UPDATE iot.devices SET room_id = (SELECT id FROM core.rooms LIMIT 1)");
});
afterAll(async () => {
  await db?.close();
  await prometheus?.stop();
  await sluice?.stop();
  collector?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function ask<T>(path: string): Promise<T> {
  const response = await fetch(`${prometheus.url}${path}`);
  const body = (await response.json()) as { status: string; error?: string; data: T };
  if (body.status !== "success") throw new Error(body.error);
  return body.data;
}

test("the configuration and the rules of Prometheus are sound, and the rules call for what they promise", async () => {
  await promtool("check", "config", "prometheus.yml");
  await promtool("check", "rules", "--lint-fatal", "rules.yml");
  await promtool("test", "rules", "rules.test.yml");
});

test("a real Prometheus scrapes every service, and knows every metric that rules and dashboards ask for", async () => {
  interface Active {
    activeTargets: { health: string; lastError: string }[];
  }
  const services = (await sluice.status())?.services.length;
  const seen = await waitFor(
    async () => {
      const { activeTargets } = await ask<Active>("/api/v1/targets");
      return (
        activeTargets.length === services &&
        activeTargets.every(({ health }) => health === "up") &&
        activeTargets
      );
    },
    { timeoutMs: 30_000, what: "every service to be scraped" },
  );
  expect(seen.map(({ lastError }) => lastError).join("")).toBe("");
  const expressions = [
    ...rules.groups.flatMap((group) => group.rules.map(({ alert, expr }) => ({ where: alert, expr }))),
    ...queriesOf("sluice-prometheus").map(({ where, target }) => ({ where, expr: target.expr ?? "" })),
  ];
  const known = new Set(Object.keys(await ask<object>("/api/v1/metadata")));
  const asked = expressions.flatMap(({ where, expr }) =>
    [...expr.matchAll(/\b(sluice|process|nodejs)_[a-z0-9_]+/g)].map(([name]) => ({
      where,
      name: name.replace(/_bucket$/, ""),
    })),
  );
  expect(asked.filter(({ name }) => !known.has(name))).toEqual([]);
  for (const { where, expr } of expressions) {
    await ask(`/api/v1/query?query=${encodeURIComponent(expr)}`).catch((error: Error) => {
      throw new Error(`${where}: ${error.message}`);
    });
  }
  const ledger = await ask<{ result: { value: [number, string] }[] }>(
    `/api/v1/query?query=${encodeURIComponent("sluice_ledger_balanced")}`,
  );
  expect(ledger.result.length).toBeGreaterThanOrEqual(4);
});

/** As Grafana does it: a stretch of time, and every value of the variables. */
function expandSql(sql: string, values: ReadonlyMap<string, readonly string[]>): string {
  return sql
    .replaceAll(
      /\$__timeFilter\(([^)]+)\)/g,
      "$1 BETWEEN now() - INTERVAL '1 day' AND now() + INTERVAL '1 day'",
    )
    .replaceAll(/\$\{(\w+):sqlstring\}/g, (_, name: string) =>
      (values.get(name) ?? []).map((value) => `'${value.replaceAll("'", "''")}'`).join(","),
    );
}

test("every query of the dashboards runs on PostgreSQL, and shows what was measured", async () => {
  const rows = new Map<string, number>();
  for (const { title, panels, templating } of dashboards) {
    const values = new Map<string, string[]>();
    for (const { name, query } of templating.list) {
      values.set(
        name,
        (await db.query(query)).map((row) => String(Object.values(row)[0])),
      );
    }
    for (const panel of panels) {
      for (const { rawSql } of panel.targets) {
        if (rawSql === undefined) continue;
        const found = await db.transaction(async (tx) => {
          await tx.query("SET TRANSACTION READ ONLY");
          return tx.query(expandSql(rawSql, values)).catch((error: Error) => {
            throw new Error(`${title}: ${panel.title}: ${error.message}`);
          });
        });
        rows.set(`${title}: ${panel.title}`, found.length);
      }
    }
  }
  expect(rows.size).toBe(queriesOf("sluice-postgres").length);
  const filled = [
    "devices: Devices",
    "devices: Readings",
    "rooms: Newest readings by room",
    "rooms: Raw readings of a room",
  ];
  for (const panel of filled) expect([panel, rows.get(`Sluice: ${panel}`)]).not.toEqual([panel, 0]);
});

test("every query of the dashboards runs on InfluxDB, and shows what was measured", async () => {
  const influx = sluice.urls().influx;
  if (!influx) throw new Error("the installation has no InfluxDB");
  const authorization = `Basic ${Buffer.from(`${influx.username}:${influx.password}`).toString("base64")}`;
  for (const { where, target } of queriesOf("sluice-influx")) {
    const query = (target.query ?? "")
      .replaceAll("$timeFilter", "time > now() - 1h AND time < now() + 1h")
      .replaceAll("$__interval", "10s");
    const series = await waitFor(
      async () => {
        const url = `${influx.url}/query?db=${influx.bucket}&q=${encodeURIComponent(query)}`;
        const response = await fetch(url, { headers: { authorization } });
        const { results } = (await response.json()) as { results: { error?: string; series?: unknown[] }[] };
        if (results[0]?.error) throw new Error(results[0].error);
        return results[0]?.series;
      },
      { timeoutMs: 20_000, what: where },
    );
    expect([where, series.length]).not.toEqual([where, 0]);
  }
});

test("one trace leads from the arrival over MQTT to the commit", async () => {
  const [accepted, stored] = await waitFor(
    () => {
      const found = spans.find(({ service, name }) => service === "ingest-gateway" && name === "accept");
      const end = spans.find(({ traceId, name }) => traceId === found?.traceId && name === "store");
      return found && end && [found, end];
    },
    { timeoutMs: 30_000, what: "the spans" },
  );
  expect(stored).toMatchObject({ service: "stream-worker", parentSpanId: accepted?.spanId });
});

test("a rule made on the command line raises an alert, which somebody acknowledges; monitors list what there is", async () => {
  await sluice.sluice(
    "alerts",
    "rules",
    "add",
    "not frozen",
    "above",
    "--sensor",
    "temperature",
    "--threshold",
    "-50",
  );
  await sluice.sluice("simulate", "--devices", "1", "--rate", "5", "--seconds", "1");
  const [alert] = await waitFor(
    async () => {
      const alerts = JSON.parse(await sluice.sluice("alerts", "list", "--json")) as {
        id: number;
        rule: string;
      }[];
      return alerts.length > 0 && alerts;
    },
    { timeoutMs: 30_000, intervalMs: 500, what: "the alert" },
  );
  expect(alert?.rule).toBe("not frozen");
  expect(await sluice.sluice("alerts", "ack", String(alert?.id), "--by", "ada")).toContain(
    "acknowledged by ada",
  );
  const monitor = async (name: string) => JSON.parse(await sluice.sluice("monitor", name, "--json"));
  const [db, redis, processing] = [await monitor("db"), await monitor("redis"), await monitor("processing")];
  expect(db.measurements).toHaveLength(10);
  expect(db.measurements[0]).toMatchObject({ room: "Flower", status: "ok" });
  const groups = redis.streams[0].groups.map(({ group }: { group: string }) => group);
  expect(groups.sort()).toEqual(["alerts", "influx", "postgres"]);
  expect(redis.health.lastHour).toBeGreaterThan(0);
  expect(processing.tables.length).toBeGreaterThan(0);
});
