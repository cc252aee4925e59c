import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bus, openBus } from "@sluice/bus";
import { type Db, openDb } from "@sluice/db";
import {
  freePort,
  type InfluxServer,
  type Server,
  startInflux,
  startMosquitto,
  startPostgres,
  startRedis,
} from "@sluice/servers";
import { type Installation, startInstallation } from "@sluice/testkit/installation";
import { type ConnectionObserver, type FaultProxy, startProxy } from "@sluice/testkit/start-proxy";
import { type Certificates, createCertificates } from "./certificates.ts";
import { type Disk, openDisk } from "./disk.ts";
import { createTap, type Tap } from "./tap/tap.ts";

/**
 * `plain`: devices at the built-in broker. `disks`: the same with Redis, PostgreSQL and the logs on small file systems
 * of their own. `broker`: devices at a Mosquitto that the gateway follows. `replica`: as plain, for one run only,
 * because Redis is not the same afterwards. `tls`: as broker, over TLS. `heap`: processes that may use 64 MB of heap.
 */
export type RigKind = "plain" | "disks" | "broker" | "tls" | "replica" | "heap";

/** A whole system with a fault proxy on every connection, whose servers can be killed, frozen and restarted. */
export interface Rig {
  kind: RigKind;
  redis: Server;
  postgres: Server;
  influx: InfluxServer;
  /** The external broker of a `broker` rig. */
  mosquitto?: Server;
  /** Between the services and each server; `mqtt`: between devices and the gateway, or gateway and Mosquitto. */
  proxies: { redis: FaultProxy; postgres: FaultProxy; influx: FaultProxy; mqtt: FaultProxy };
  disks?: { redis: Disk; postgres: Disk; logs: Disk };
  tap: Tap;
  /** Of the broker of a `tls` rig. */
  certificates?: Certificates;
  /** Connections to the broker of a `tls` rig that began with something else than a TLS handshake. */
  plainConnections(): number;
  installation: Installation;
  /** Where devices publish. */
  deviceUrl: string;
  /** Straight to the servers, past the proxies. */
  db: Db;
  bus: Bus;
  /** Lines that the supervisor and the services have written since the last {@link Rig.takeLines}. */
  takeLines(): string[];
  /** Whether one of these matches. */
  hasLine(pattern: RegExp): boolean;
  /** Takes another Redis for its own, after a failover. */
  useRedis(server: Server): Promise<void>;
  /** Ends what a fault has started and what has to live as long as the rig. */
  undoWhenClosed(action: () => unknown): void;
  /** Everything secret that no line may contain. */
  secrets: string[];
  /** The environment of a service, to start another one like it. */
  environment(consumer: string): Record<string, string>;
  close(): Promise<void>;
}

const TLS_HANDSHAKE = 0x16;
const REDIS_PASSWORD = "rig-redis-secret";
const MOSQUITTO = `max_inflight_messages 1000
max_queued_messages 1500
persistence true
autosave_interval 1800
sys_interval 1
upgrade_outgoing_qos true`;

/** Starts servers, proxies and services. */
export async function openRig(kind: RigKind = "plain"): Promise<Rig> {
  const opened: (() => unknown)[] = [];
  const keep = async <T>(starting: T | Promise<T>, close: (one: T) => unknown): Promise<T> => {
    const one = await starting;
    opened.push(() => close(one));
    return one;
  };
  const close = async () => {
    for (const end of opened.splice(0).reverse()) await end();
  };
  try {
    return await assemble(kind, keep, close);
  } catch (error) {
    await close();
    throw error;
  }
}

type Keep = <T>(starting: T | Promise<T>, close: (one: T) => unknown) => Promise<T>;

async function openDisks(keep: Keep, dataDir: string): Promise<Rig["disks"] & object> {
  const shut = (disk: Disk) => disk.close();
  const logs = join(dataDir, "logs");
  mkdirSync(logs, { recursive: true });
  return {
    redis: await keep(openDisk({ megabytes: 512, kind: "ext4" }), shut),
    postgres: await keep(openDisk({ megabytes: 700, kind: "ext4" }), shut),
    logs: await keep(openDisk({ megabytes: 2, kind: "tmpfs", dir: logs, inodes: 16 }), shut),
  };
}

async function assemble(kind: RigKind, keep: Keep, close: () => Promise<void>): Promise<Rig> {
  const stop = (server: Server) => server.stop();
  const end = (proxy: FaultProxy) => proxy.close();
  const tap = createTap();
  const dataDir = await keep(mkdtempSync(join(tmpdir(), "sluice-rig-")), (dir) =>
    rmSync(dir, { recursive: true, force: true }),
  );
  const disks = kind === "disks" ? await openDisks(keep, dataDir) : undefined;
  const on = (disk: Disk | undefined) => (disk ? { dir: disk.dir } : {});
  const redis = await keep(startRedis({ password: REDIS_PASSWORD, ...on(disks?.redis) }), stop);
  const postgres = await keep(
    startPostgres({ settings: { max_wal_size: "96MB", min_wal_size: "48MB" }, ...on(disks?.postgres) }),
    stop,
  );
  const influx = await keep(startInflux({}), stop);
  const certificates =
    kind === "tls"
      ? await keep(createCertificates(), ({ dir }) => rmSync(dir, { recursive: true, force: true }))
      : undefined;
  const tlsPort = await freePort();
  const secure = certificates
    ? `\nlistener ${tlsPort} 127.0.0.1\ncertfile ${certificates.certFile}\nkeyfile ${certificates.keyFile}`
    : "";
  const mosquitto =
    kind === "broker" || kind === "tls"
      ? await keep(startMosquitto({ config: MOSQUITTO + secure }), stop)
      : undefined;
  const between = {
    redis: await keep(startProxy(redis.port, { observe: tap.redis }), end),
    postgres: await keep(startProxy(postgres.port, { observe: tap.postgres }), end),
    influx: await keep(startProxy(influx.port), end),
  };
  let plainConnections = 0;
  const observeTls = (): ConnectionObserver => {
    let first = true;
    return {
      request(chunk) {
        if (first && chunk[0] !== TLS_HANDSHAKE) plainConnections++;
        first = false;
      },
    };
  };
  const toBroker =
    mosquitto &&
    (await keep(
      certificates
        ? startProxy(tlsPort, { observe: observeTls })
        : startProxy(mosquitto.port, { observe: tap.mqtt }),
      end,
    ));
  const through = (url: string, port: number) =>
    Object.assign(new URL(url), { port: String(port) }).toString();
  const env: Record<string, string> = {
    LOG_LEVEL: "info",
    REDIS_URL: through(redis.url, between.redis.port),
    DATABASE_URL: through(postgres.url, between.postgres.port),
    INFLUXDB_URL: `http://127.0.0.1:${between.influx.port}`,
    INFLUXDB_VERSION: "1",
    INFLUXDB_USERNAME: influx.username,
    INFLUXDB_PASSWORD: influx.password,
    INFLUXDB_TIMEOUT: "3000",
    ...(toBroker ? { MQTT_URL: `${certificates ? "mqtts" : "mqtt"}://127.0.0.1:${toBroker.port}` } : {}),
    ...(certificates ? { SLUICE_MQTT_CA: certificates.ca.trim() } : {}),
    ...(kind === "heap" ? { NODE_OPTIONS: "--max-old-space-size=64" } : {}),
  };
  const installation = await keep(startInstallation({ dataDir, env }), (one) => one.stop());
  const lines = collectLines(installation);
  const { mqttUrl } = await installation.untilReady();
  const mqtt =
    toBroker ?? (await keep(startProxy(Number(new URL(mqttUrl).port), { observe: tap.mqtt }), end));
  const db = await keep(openDb(postgres.url), (one) => one.close());
  const bus = await keep(openBus(redis.url), (one) => one.close());
  const rig: Rig = {
    kind,
    redis,
    postgres,
    influx,
    ...(mosquitto ? { mosquitto } : {}),
    proxies: { ...between, mqtt },
    ...(disks ? { disks } : {}),
    tap,
    ...(certificates ? { certificates } : {}),
    plainConnections: () => plainConnections,
    installation,
    deviceUrl: mosquitto ? mosquitto.url : `mqtt://127.0.0.1:${mqtt.port}`,
    db,
    bus,
    takeLines: () => lines.splice(0),
    hasLine: (pattern) => lines.some((line) => pattern.test(line)),
    async useRedis(server) {
      rig.redis = server;
      rig.bus = await keep(openBus(server.url), (one) => one.close());
    },
    undoWhenClosed: (action) => void keep(undefined, action),
    secrets: [REDIS_PASSWORD, new URL(postgres.url).password, influx.password, installation.pepper()],
    environment: (consumer) => ({
      ...env,
      PATH: process.env.PATH ?? "",
      INFLUXDB_BUCKET: installation.urls().influx?.bucket ?? "telemetry",
      SLUICE_PEPPER: installation.pepper(),
      SLUICE_CONSUMER: consumer,
      SLUICE_OPS_PORT: "0",
    }),
    close,
  };
  return rig;
}

function collectLines({ supervisor }: Installation): string[] {
  const lines: string[] = [];
  for (const stream of [supervisor.stdout, supervisor.stderr]) {
    let rest = "";
    stream?.on("data", (chunk: Buffer) => {
      const parts = (rest + chunk.toString()).split("\n");
      rest = parts.pop() ?? "";
      lines.push(...parts.filter((line) => line !== ""));
    });
  }
  return lines;
}

/** State of one service process. */
export interface ServiceState {
  name: string;
  pid: number;
  ready: boolean;
  failing: string[];
  opsPort: number;
}

function readServices({ installation }: Rig): { name: string; pid: number; opsPort: number }[] {
  const file = readFileSync(join(installation.dataDir, "state.json"), "utf8");
  const { services } = JSON.parse(file) as {
    services: { name: string; pid: number | null; opsPort: number }[];
  };
  return services.map((service) => ({ ...service, pid: service.pid ?? 0 }));
}

/** Every service, and how to ask it about itself: directly, because the CLI would be slower than the faults. */
export function findServices(rig: Rig): { name: string; pid: number; ask(): Promise<ServiceState> }[] {
  return readServices(rig).map(({ name, pid, opsPort }) => ({
    name,
    pid,
    async ask() {
      try {
        const answer = await fetch(`http://127.0.0.1:${opsPort}/ready`, {
          signal: AbortSignal.timeout(3000),
        });
        const { ready, failing } = (await answer.json()) as { ready: boolean; failing: string[] };
        return { name, pid, opsPort, ready, failing };
      } catch {
        return { name, pid, opsPort, ready: false, failing: ["no answer"] };
      }
    },
  }));
}

/** What every service says about itself. */
export const askServices = (rig: Rig): Promise<ServiceState[]> =>
  Promise.all(findServices(rig).map(({ ask }) => ask()));

/** The present process of a service. */
export function pidOf(rig: Rig, name: string): number {
  const pid = readServices(rig).find((service) => service.name === name)?.pid;
  if (!pid) throw new Error(`${name} does not run`);
  return pid;
}

/** The processes of all services, as a text to compare. */
export function pidsOf(rig: Rig): string {
  return readServices(rig)
    .map(({ name, pid }) => `${name} ${pid}`)
    .join();
}

/** Signals a service, if it runs. */
export function signalService(rig: Rig, name: string, signal: NodeJS.Signals): void {
  try {
    process.kill(pidOf(rig, name), signal);
  } catch {
    // between two lives
  }
}
