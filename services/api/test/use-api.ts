import { afterAll, beforeAll } from "@jest/globals";
import { type Bus, type KeyValue, openBus, openKeyValue } from "@sluice/bus";
import { createApiKey, createDevice, createUser, type Db, openDb, type Scope } from "@sluice/db";
import { createLog, createMetrics, loadConfig } from "@sluice/service-kit";
import type { NewDevice } from "@sluice/shared-types";
import { useInflux, usePostgres, useRedis } from "@sluice/testkit";
import { openApi } from "../src/api.ts";
import { Config } from "../src/config.ts";
import type { Server } from "../src/server.ts";

export const PEPPER = "pepper-of-the-tests";
export const PASSWORD = "correct horse battery";

/** An api on real servers, with two devices, an admin and keys of each scope. */
export interface TestApi {
  db: Db;
  bus: Bus;
  keyValue: KeyValue;
  server: Server;
  url: string;
  influxUrl: string;
  a: NewDevice;
  b: NewDevice;
  keys: Record<Scope, string>;
  /** Calls the api; a body is sent as JSON. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
}

export interface CallOptions {
  key?: string;
  body?: unknown;
  headers?: Record<string, string>;
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at answers of every shape
  json: any;
}

/** Starts one for the test file; use its members inside tests. */
export function useApi(env: () => Record<string, string> = () => ({})): TestApi {
  const it = {} as TestApi;
  afterAll(async () => {
    await it.server?.close();
    await it.keyValue?.close();
    await it.bus?.close();
    await it.db?.close();
  });
  const redis = useRedis();
  const database = usePostgres();
  const influx = useInflux({ database: "telemetry" });
  beforeAll(async () => {
    const log = createLog("api", "fatal");
    it.influxUrl = influx.url;
    const config = loadConfig(Config, {
      REDIS_URL: redis.url,
      DATABASE_URL: database.url,
      INFLUXDB_URL: influx.url,
      INFLUXDB_USERNAME: influx.username,
      INFLUXDB_PASSWORD: influx.password,
      INFLUXDB_VERSION: "1",
      INFLUXDB_BUCKET: "telemetry",
      SLUICE_PEPPER: PEPPER,
      SLUICE_HTTP_PORT: "0",
      SLUICE_SINKS: "postgres",
      ...env(),
    });
    it.db = await openDb(database.url, { max: 4 });
    it.a = await createDevice(it.db, PEPPER, { id: "esp32_001" });
    it.b = await createDevice(it.db, PEPPER, { id: "esp32_002" });
    await createUser(it.db, { email: "admin@example.org", password: PASSWORD, role: "admin" });
    await createUser(it.db, { email: "viewer@example.org", password: PASSWORD, role: "viewer" });
    const keys: [Scope, string][] = [];
    for (const scope of ["read", "write", "admin"] as const) {
      keys.push([scope, (await createApiKey(it.db, PEPPER, { name: scope, scopes: [scope] })).key]);
    }
    it.keys = Object.fromEntries(keys) as Record<Scope, string>;
    it.bus = await openBus(redis.url, {});
    it.keyValue = await openKeyValue(redis.url, {});
    it.server = await openApi({
      config,
      db: it.db,
      bus: it.bus,
      keyValue: it.keyValue,
      log,
      metrics: createMetrics("api"),
    });
    it.url = `http://127.0.0.1:${it.server.port}`;
    it.call = (method, path, options) => call(`${it.url}${path}`, method, options);
  }, 60_000);
  return it;
}

async function call(
  url: string,
  method: string,
  { key, body, headers = {} }: CallOptions = {},
): Promise<Answer> {
  const response = await fetch(url, {
    method,
    redirect: "manual",
    headers: {
      ...(key === undefined ? {} : { "x-api-key": key }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const json =
    /[/+]json/.test(response.headers.get("content-type") ?? "") && text !== "" ? JSON.parse(text) : undefined;
  return { status: response.status, headers: response.headers, text, json };
}
