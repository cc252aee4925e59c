import { randomUUID } from "node:crypto";
import type { Bus, KeyValue } from "@sluice/bus";
import type { Metrics, Tracing } from "@sluice/service-kit";
import { DEFAULT_CLOCK_POLICY, type Resource, streamKey } from "@sluice/shared-types";
import { openAdmission } from "./admission.ts";
import { createAppender } from "./appender.ts";
import { createArrivals } from "./arrival.ts";
import { createBrake } from "./brake.ts";
import { type Broker, maxPacketOf, openBroker } from "./broker.ts";
import { openClaimDesk } from "./claim-desk.ts";
import { openCommandDesk } from "./command-desk.ts";
import { createCommandWays } from "./command-ways.ts";
import type { Config } from "./config.ts";
import type { Credentials } from "./credentials.ts";
import { createDoor } from "./door.ts";
import { createDuplicates } from "./duplicates.ts";
import { followDevices } from "./follow-devices.ts";
import { gateAppends } from "./gate-appends.ts";
import { openHttp } from "./http.ts";
import { createIdempotency } from "./idempotency.ts";
import { createIngest, type Ingest } from "./ingest.ts";
import { openListeners } from "./listeners.ts";
import type { Log } from "./log.ts";
import { openOutcomes } from "./outcomes.ts";
import { openPresence } from "./presence.ts";
import { createQuota } from "./quota.ts";
import { createRefusalLog } from "./refusal-log.ts";
import { openSessionNews } from "./session-news.ts";
import { openSubscriber, type Subscriber } from "./subscribe.ts";
import { openSystemAlerts } from "./system-alerts.ts";
import { tellStored } from "./tell-stored.ts";
import type { TlsFiles } from "./tls.ts";
import { createTopicReader, parseTopicMaps } from "./topic-reader.ts";
import { traceIngest } from "./trace-ingest.ts";

/** What the gateway works with; all opened and closed by the caller. */
export interface GatewayDeps {
  config: Config;
  bus: Bus;
  keyValue: KeyValue;
  credentials: Credentials;
  log: Log;
  metrics: Metrics;
  /** Undefined: no traces. */
  tracing?: Pick<Tracing, "start"> | undefined;
}

/** The gateway with its ports open. */
export interface Gateway extends Resource {
  ports: { mqtt?: number; mqtts?: number; ws?: number; http?: number; https?: number };
  ingest: Ingest;
}

/** Topics that stand for HTTP routes where a message needs one; no MQTT client can publish to them. */
const HTTP_TOPICS = [{ pattern: "http/telemetry" }, { pattern: "http/data", type: "sensor_reading" }];
const HTTP_TIMEOUT_MS = 15_000;

/**
 * Opens every way in that is configured: the built-in broker's ports, HTTP, and the subscription to an external
 * broker. `close` stops taking messages first, then finishes what was taken.
 */
export async function openGateway(deps: GatewayDeps): Promise<Gateway> {
  const { config, bus, keyValue, log } = deps;
  const instance = randomUUID();
  for (const stream of streamsOf(config)) {
    for (const group of config.SLUICE_SINKS) await bus.ensureGroup(stream, group);
  }
  await bus.ensureGroup(streamKey("rejected"), "postgres");
  const outcomes = await openOutcomes(bus, instance, log);
  const presence = openPresence(keyValue, log);
  const parts = createParts(deps, instance, presence.heard);
  const { ingest, turnedAway, brake, arrivals, admission, quota } = parts;
  const { credentials } = deps;
  const claims = openClaimDesk({
    databaseUrl: config.DATABASE_URL,
    pepper: config.SLUICE_PEPPER,
    root: config.SLUICE_TOPIC_ROOT,
    credentials,
    log,
  });
  const maxPayloadBytes = config.SLUICE_MAX_PACKET_BYTES;
  const broker = await openBroker(
    { ingest, credentials, brake, turnedAway, claims, quota, readTopic: parts.readMqtt, log },
    {
      root: config.SLUICE_TOPIC_ROOT,
      maxPayloadBytes,
      strictClientId: config.SLUICE_STRICT_CLIENT_ID,
    },
  );
  const sessions = await openSessionNews(bus, instance, broker.cut, log);
  broker.onSession(sessions.came, sessions.left);
  const listeners = await openListeners(
    { broker, turnedAway, log },
    {
      host: config.SLUICE_HOST,
      mqttPort: config.SLUICE_MQTT_PORT,
      mqttsPort: config.SLUICE_MQTTS_PORT,
      wsPort: config.SLUICE_WS_PORT,
      tlsCert: config.SLUICE_TLS_CERT,
      tlsKey: config.SLUICE_TLS_KEY,
      tlsClientCa: config.SLUICE_TLS_CLIENT_CA,
      maxConnections: config.SLUICE_MAX_CONNECTIONS,
      maxPacketBytes: maxPacketOf(maxPayloadBytes),
    },
  );
  const attempt = createIdempotency(keyValue);
  const httpDeps = {
    ...{ ingest, admission, arrivals, outcomes, attempt, credentials },
    ...{ quota, brake, turnedAway, log },
  };
  const serveHttp = (port: number | undefined, tls?: TlsFiles) =>
    port === undefined
      ? undefined
      : openHttp(httpDeps, {
          host: config.SLUICE_HOST,
          port,
          trustedProxies: config.SLUICE_TRUSTED_PROXIES,
          maxBodyBytes: maxPayloadBytes,
          maxConnections: Math.min(config.SLUICE_MAX_CONNECTIONS, 10_000),
          requestTimeoutMs: HTTP_TIMEOUT_MS,
          tls,
        });
  const http = await serveHttp(config.SLUICE_HTTP_PORT);
  const https = await serveHttp(config.SLUICE_HTTPS_PORT, tlsFilesOf(config));
  const outside = followDevices(ingest);
  const subscriber = openExternal(deps, outside);
  const { deliveries, confirmed } = broker;
  const commands = await openCommandDesk({
    databaseUrl: config.DATABASE_URL,
    bus,
    ways: createCommandWays({
      deliveries,
      confirmed,
      outside: subscriber && outside.through(subscriber),
      root: config.SLUICE_TOPIC_ROOT,
    }),
    instance,
    log,
  });
  deliveries.onListen(commands.look);
  outside.onHeard(commands.look);
  const alerts = await openSystemAlerts({
    ...{ bus, log, root: config.SLUICE_TOPIC_ROOT },
    publish: [
      (topic, payload) => broker.publish(topic, payload, 1),
      (topic, payload) =>
        void subscriber
          ?.publish(topic, payload, { qos: 1, retain: true })
          .catch((error: unknown) => log.debug({ err: error }, "an alert was not told outside")),
    ],
  });
  tellStored(outcomes, config.SLUICE_TOPIC_ROOT, broker, subscriber, log);
  countConnections(deps.metrics, broker);
  const ports = {
    ...listeners.ports,
    ...(http ? { http: http.port } : {}),
    ...(https ? { https: https.port } : {}),
  };
  log.info({ ports, subscriber: config.MQTT_URL !== undefined }, "gateway is open");
  const resources = [
    subscriber,
    http,
    https,
    listeners,
    broker,
    sessions,
    commands,
    alerts,
    presence,
    outcomes,
  ].filter((r) => r !== undefined);
  return {
    ports,
    ingest,
    ping: async () => {
      for (const resource of resources) await resource.ping();
    },
    close: async () => {
      await Promise.all([subscriber?.close(), http?.close(), https?.close()]);
      // A listener is closed only when its connections are: the broker ends them.
      await Promise.all([listeners.close(), broker.close()]);
      await sessions.close();
      await claims.close();
      await commands.close();
      await alerts.close();
      await admission.close();
      await parts.settled();
      await presence.close();
      await outcomes.close();
    },
  };
}

const streamsOf = ({ SLUICE_PARTITIONS }: Config) =>
  Array.from({ length: SLUICE_PARTITIONS }, (_, partition) => streamKey("telemetry", partition));

function tlsFilesOf({ SLUICE_HTTPS_PORT, SLUICE_TLS_CERT, SLUICE_TLS_KEY }: Config): TlsFiles | undefined {
  if (SLUICE_HTTPS_PORT === undefined) return undefined;
  if (!SLUICE_TLS_CERT || !SLUICE_TLS_KEY)
    throw new Error("SLUICE_HTTPS_PORT needs SLUICE_TLS_CERT and SLUICE_TLS_KEY");
  return { cert: SLUICE_TLS_CERT, key: SLUICE_TLS_KEY };
}

function createParts(
  { config, bus, keyValue, credentials, log, metrics, tracing }: GatewayDeps,
  instance: string,
  heard: (device: string, status?: "online" | "offline", heartbeat?: boolean) => void,
) {
  const appended = metrics.counter("appended_total", "Messages appended to the bus", ["stream"]);
  const latency = metrics.histogram("append_seconds", "From a batch's first message to its durable append");
  const received = metrics.counter("received_total", "Messages handed to ingest", ["source"]);
  const admission = openAdmission(bus, { highWater: config.SLUICE_HIGH_WATER, log });
  const appender = createAppender(bus, (stream, messages, seconds) => {
    appended.inc({ stream }, messages);
    latency.observe(seconds);
    for (const [source, count] of ingest.takeReceived()) received.inc({ source }, count);
  });
  const append = gateAppends(appender, admission);
  metrics.gauge("admission_open", "1 while messages are let in, 0 while the bus is too full", [], (gauge) =>
    gauge.set(admission.open ? 1 : 0),
  );
  metrics.gauge("waiting_messages", "Messages received and not durable yet", [], (gauge) =>
    gauge.set(append.waiting().messages),
  );
  const maps = parseTopicMaps(config.SLUICE_TOPIC_MAPS);
  const readMqtt = createTopicReader(config.SLUICE_TOPIC_ROOT, maps);
  const readHttp = createTopicReader("http-only", HTTP_TOPICS);
  const arrivals = createArrivals();
  const refused = createRefusalLog(metrics, log);
  const quota = createQuota({
    messagesPerSecond: config.SLUICE_DEVICE_RATE,
    bytesPerSecond: config.SLUICE_DEVICE_BYTES,
  });
  const ingest = createIngest({
    quota,
    append,
    arrivals,
    duplicates: createDuplicates(bus, append, streamsOf(config)),
    streams: streamsOf(config),
    reserve: keyValue.reserve,
    readTopic: (source, topic) => (source === "http" ? readHttp(topic) : readMqtt(topic)),
    checkApiKey: credentials.checkApiKey,
    findOwner: credentials.findOwner,
    heard,
    refused,
    clock: { ...DEFAULT_CLOCK_POLICY, maxFutureMs: config.MAX_FUTURE, timeZone: config.SLUICE_TIME_ZONE },
    maxPayloadBytes: config.SLUICE_MAX_PACKET_BYTES,
    notify: instance,
  });
  const brake = createBrake((address, user, failures) =>
    log.error({ address, user: user.slice(0, 64), failures }, "somebody is guessing secrets"),
  );
  return {
    ingest: traceIngest(ingest, tracing),
    admission,
    arrivals,
    brake,
    quota,
    readMqtt,
    turnedAway: createDoor(refused, append, arrivals.now),
    settled: append.settled,
  };
}

function openExternal(
  { config, keyValue, log, metrics }: GatewayDeps,
  ingest: Pick<Ingest, "accept">,
): Subscriber | undefined {
  if (config.MQTT_URL === undefined) return undefined;
  return openSubscriber(
    { ingest, lease: keyValue, log, metrics },
    {
      url: config.MQTT_URL,
      clientId: config.SLUICE_MQTT_CLIENT_ID,
      connections: config.SLUICE_MQTT_CONNECTIONS,
      shared: config.SLUICE_MQTT_SHARED,
      trust: config.SLUICE_MQTT_TRUST,
      ...(config.SLUICE_MQTT_CA === undefined ? {} : { ca: config.SLUICE_MQTT_CA }),
      root: config.SLUICE_TOPIC_ROOT,
      maps: parseTopicMaps(config.SLUICE_TOPIC_MAPS),
    },
  );
}

function countConnections(metrics: Metrics, broker: Broker): void {
  metrics.gauge("mqtt_connections", "Open MQTT connections", ["state"], (gauge) => {
    const { open, authenticated } = broker.connections();
    gauge.set({ state: "authenticated" }, authenticated);
    gauge.set({ state: "unknown" }, Math.max(0, open - authenticated));
  });
}
