import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { ensureRoles, OWNER_ROLE } from "@sluice/db";
import { isPortFree, type Server, startInflux, startPostgres, startRedis } from "@sluice/servers";
import type { Secrets } from "../secrets.ts";
import { SERVICES } from "../service-list.ts";
import type { InfluxAccess, State } from "../state.ts";
import type { EventLog } from "./event-log.ts";
import { asAccount, influxUsers, passwordOf, redisUsers } from "./service-accounts.ts";
import type { UpConfig } from "./up-config.ts";

/** The servers an installation works with: private ones that run now, and the addresses of all, for their owner. */
export interface ServerSet {
  private: Server[];
  redisUrl: string;
  busUrl: string;
  postgresUrl: string;
  influx: InfluxAccess | null;
}

const DATABASE = "sluice";
const INFLUX_DATABASE = "telemetry";

/** Starts what was not given from outside; on failure the started ones are stopped again. */
export async function startServers(
  config: UpConfig,
  secrets: Secrets,
  last: State | undefined,
  log: EventLog,
): Promise<ServerSet> {
  const { variables, dataDir } = config;
  const needsInflux = config.services.some((service) => service.needs.includes("influx"));
  const place = async (name: string) => ({ dir: join(dataDir, name), port: await lastPort(name, last) });
  const starts: Promise<Server>[] = [];
  const begin = (name: string, start: () => Promise<Server>) => {
    log.info({ server: name }, `starting ${name}`);
    const starting = start();
    starts.push(starting);
  };
  if (variables.REDIS_URL === undefined) {
    begin("redis", async () => {
      const maxmemory = variables.SLUICE_REDIS_MAXMEMORY;
      return startRedis({
        ...(await place("redis")),
        password: secrets.redisPassword,
        users: redisUsers(
          secrets,
          SERVICES.map(({ name }) => name),
        ),
        maxmemory,
      });
    });
  }
  if (variables.DATABASE_URL === undefined) {
    begin("postgres", async () => {
      const server = await startPostgres({
        ...(await place("postgres")),
        password: secrets.postgresPassword,
        database: DATABASE,
        settings: postgresSettings(),
      });
      try {
        await ensureRoles(server.url, (role) => passwordOf(secrets.postgresPassword, role));
      } catch (error) {
        await server.stop();
        throw error;
      }
      return server;
    });
  }
  if (variables.INFLUXDB_URL === undefined && needsInflux) {
    begin("influx", async () =>
      startInflux({
        ...(await place("influx")),
        password: secrets.influxPassword,
        database: INFLUX_DATABASE,
        users: influxUsers(secrets),
      }),
    );
  }
  const running = await allOrNone(starts);
  for (const { name, port, pid } of running)
    log.info({ server: name, port, pid }, `${name} serves on port ${port}`);
  return { private: running, ...addresses(config, secrets, running) };
}

function addresses(
  config: UpConfig,
  secrets: Secrets,
  running: readonly Server[],
): Omit<ServerSet, "private"> {
  const { variables } = config;
  const urlOf = (name: string) => running.find((server) => server.name === name)?.url;
  const postgresUrl = urlOf("postgres");
  const redisUrl = variables.REDIS_URL ?? urlOf("redis") ?? "";
  const influxUrl = urlOf("influx");
  return {
    redisUrl,
    busUrl: variables.BUS_URL ?? redisUrl,
    postgresUrl:
      postgresUrl === undefined
        ? (variables.DATABASE_URL ?? "")
        : asAccount(postgresUrl, OWNER_ROLE, secrets.postgresPassword),
    influx:
      influxUrl !== undefined
        ? {
            url: influxUrl,
            version: "1",
            username: "admin",
            password: secrets.influxPassword,
            org: variables.INFLUXDB_ORG,
            bucket: INFLUX_DATABASE,
          }
        : outsideInflux(variables),
  };
}

function outsideInflux(variables: UpConfig["variables"]): InfluxAccess | null {
  if (variables.INFLUXDB_URL === undefined) return null;
  return {
    url: variables.INFLUXDB_URL,
    version: variables.INFLUXDB_VERSION,
    username: variables.INFLUXDB_USERNAME,
    password: variables.INFLUXDB_PASSWORD,
    token: variables.INFLUXDB_TOKEN,
    org: variables.INFLUXDB_ORG,
    bucket: variables.INFLUXDB_BUCKET,
  };
}

async function allOrNone(starts: readonly Promise<Server>[]): Promise<Server[]> {
  const results = await Promise.allSettled(starts);
  const running = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const failed = results.find((result) => result.status === "rejected");
  if (failed === undefined) return running;
  await Promise.all(running.map((server) => server.stop()));
  throw failed.reason;
}

async function lastPort(name: string, last: State | undefined): Promise<number | undefined> {
  const port = last?.servers.find((server) => server.name === name)?.port;
  return port !== undefined && (await isPortFree(port)) ? port : undefined;
}

/** Durable, with room for large batches on a small machine. */
function postgresSettings(): Record<string, string> {
  const megabytes = totalmem() / 2 ** 20;
  return {
    fsync: "on",
    synchronous_commit: "on",
    full_page_writes: "on",
    shared_buffers: megabytes >= 2048 ? "256MB" : "64MB",
    max_connections: "100",
    max_wal_size: "4GB",
    min_wal_size: "256MB",
    wal_compression: "on",
    checkpoint_timeout: "15min",
    checkpoint_completion_target: "0.9",
    max_worker_processes: String(Math.max(4, cpus().length)),
    random_page_cost: "1.1",
  };
}
