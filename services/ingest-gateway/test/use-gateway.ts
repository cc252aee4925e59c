import { connect, type Socket } from "node:net";
import { afterAll, beforeAll } from "@jest/globals";
import { type Bus, type KeyValue, openBus, openKeyValue } from "@sluice/bus";
import { createDevice, type Db, openDb } from "@sluice/db";
import { createMetrics, loadConfig, type Metrics } from "@sluice/service-kit";
import { decodeMessage, type NewDevice, Rejected, streamKey, type Telemetry } from "@sluice/shared-types";
import { usePostgres, useRedis, waitFor } from "@sluice/testkit";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { Config } from "../src/config.ts";
import { type Credentials, openCredentials } from "../src/credentials.ts";
import { type Gateway, openGateway } from "../src/gateway.ts";

/** A log line as written. */
export interface Line {
  level: string;
  msg: string;
  [key: string]: unknown;
}

export const PEPPER = "pepper-of-the-tests";

/** A gateway on a real Redis and a real PostgreSQL, with two devices of its own. */
export interface TestGateway {
  bus: Bus;
  keyValue: KeyValue;
  db: Db;
  credentials: Credentials;
  gateway: Gateway;
  metrics: Metrics;
  lines: Line[];
  /** Devices `esp32_001` and `esp32_002`, each with a credential of its own. */
  a: NewDevice;
  b: NewDevice;
  mqttUrl: string;
  httpUrl: string;
}

/** Starts one for the test file; use its members inside tests. */
export function useGateway(env: Record<string, string> = {}): TestGateway {
  const it = {} as TestGateway;
  // Hooks run in the order in which they are made: the gateway goes before its servers.
  afterAll(async () => {
    await it.gateway?.close();
    await it.credentials?.close();
    await it.keyValue?.close();
    await it.bus?.close();
    await it.db?.close();
  });
  const redis = useRedis();
  const database = usePostgres();
  beforeAll(async () => {
    it.lines = [];
    const say = (level: string) => (obj: object, msg: string) => void it.lines.push({ level, msg, ...obj });
    const log = { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
    const config = loadConfig(Config, {
      REDIS_URL: redis.url,
      DATABASE_URL: database.url,
      SLUICE_PEPPER: PEPPER,
      SLUICE_MQTT_PORT: "0",
      SLUICE_HTTP_PORT: "0",
      SLUICE_WS_PORT: "0",
      ...env,
    });
    it.db = await openDb(database.url, { max: 2 });
    it.a = await createDevice(it.db, PEPPER, { id: "esp32_001" });
    it.b = await createDevice(it.db, PEPPER, { id: "esp32_002" });
    it.metrics = createMetrics("ingest-gateway");
    it.bus = await openBus(redis.url, { log });
    it.keyValue = await openKeyValue(redis.url, { log });
    it.credentials = await openCredentials({
      databaseUrl: database.url,
      keyValue: it.keyValue,
      pepper: PEPPER,
      log,
    });
    it.gateway = await openGateway({
      config,
      bus: it.bus,
      keyValue: it.keyValue,
      credentials: it.credentials,
      log,
      metrics: it.metrics,
    });
    it.mqttUrl = `mqtt://127.0.0.1:${it.gateway.ports.mqtt}`;
    it.httpUrl = `http://127.0.0.1:${it.gateway.ports.http}`;
  }, 60_000);
  return it;
}

/** Everything on a stream, oldest first. */
export async function textsOf(bus: Bus, kind: "telemetry" | "rejected"): Promise<string[]> {
  const entries = await bus.browse(streamKey(kind), { from: "-", count: 100_000 });
  return entries.flatMap((entry) => entry.messages);
}

export const storedOf = async (bus: Bus): Promise<Telemetry[]> =>
  (await textsOf(bus, "telemetry")).map(decodeMessage);
export const rejectedOf = async (bus: Bus): Promise<Rejected[]> =>
  (await textsOf(bus, "rejected")).map((text) => Rejected.parse(JSON.parse(text)));

/** Counts of `sluice_refused_total` by reason. */
export async function refusedCounts(metrics: Metrics): Promise<Record<string, number>> {
  const { text } = await metrics.expose();
  const counts: Record<string, number> = {};
  for (const m of text.matchAll(/^sluice_refused_total\{reason="(\w+)".*\} (\d+)/gm))
    counts[m[1] ?? ""] = Number(m[2]);
  return counts;
}

/** Connects as a device; rejects with the CONNACK's error. */
export async function connectDevice(
  url: string,
  device: Pick<NewDevice, "username" | "password">,
  options: IClientOptions = {},
): Promise<MqttClient> {
  return mqtt.connectAsync(
    url,
    {
      username: device.username,
      password: device.password,
      reconnectPeriod: 0,
      connectTimeout: 20_000,
      ...options,
    },
    false,
  );
}

/** A bare TCP connection that collects what it is sent. */
export interface RawSocket {
  socket: Socket;
  received(): Buffer;
  closed(): boolean;
  untilClosed(timeoutMs?: number): Promise<void>;
  untilBytes(count: number): Promise<Buffer>;
}

/** Opens a raw connection to a port and sends `bytes`. */
export async function openRaw(port: number, bytes: Buffer = Buffer.alloc(0)): Promise<RawSocket> {
  const socket = connect({ port, host: "127.0.0.1" });
  let received = Buffer.alloc(0);
  let closed = false;
  socket.on("data", (chunk) => {
    received = Buffer.concat([received, chunk]);
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    closed = true;
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  if (bytes.length > 0) socket.write(bytes);
  return {
    socket,
    received: () => received,
    closed: () => closed,
    untilClosed: async (timeoutMs = 5000) => {
      await waitFor(() => closed, { timeoutMs, what: "the gateway to close the connection" });
    },
    untilBytes: async (count) => {
      await waitFor(() => received.length >= count, {
        timeoutMs: 5000,
        what: `${count} bytes from the gateway`,
      });
      return received;
    },
  };
}
