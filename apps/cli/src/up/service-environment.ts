import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { variables } from "@sluice/service-kit";
import { environment } from "../environment.ts";
import { urlHost } from "../ready.ts";
import type { Secrets } from "../secrets.ts";
import type { ServiceSpec } from "../service-list.ts";
import type { ServerSet } from "./server-set.ts";
import { accessOf, asAccount, passwordOf } from "./service-accounts.ts";
import type { UpConfig } from "./up-config.ts";

/** What every service of one installation is told. */
export interface Installation {
  config: UpConfig;
  servers: Omit<ServerSet, "private">;
  secrets: Secrets;
  pepper: string;
  mqttPort: number;
  /** The one HTTP origin: the api's, or the gateway's where no api runs. */
  httpPort: number;
  /** Where the api finds the gateway. */
  gatewayPort: number;
}

const SYSTEM = ["PATH", "HOME", "TZ", "LANG", "NODE_OPTIONS", "NODE_EXTRA_CA_CERTS"];

/**
 * The environment of a service: the user's own variables, then what this installation decides. It is told no
 * secret but its own, and on servers of ours it is somebody who may do its work and nothing else.
 */
export function serviceEnvironment(
  installation: Installation,
  service: ServiceSpec,
  opsPort: number,
): Record<string, string> {
  const { config, pepper } = installation;
  const own = config.variables;
  const access = accessOf(service.name);
  const decided: Record<string, string | undefined> = {
    ...serverVariables(installation, service.name),
    SLUICE_PEPPER: access.secrets?.includes("SLUICE_PEPPER") ? pepper : undefined,
    SLUICE_DATA_DIR: config.dataDir,
    SLUICE_HOST: own.SLUICE_HOST,
    SLUICE_OPS_PORT: String(opsPort),
    SLUICE_CONSUMER: environment.SLUICE_CONSUMER ?? consumerName(service.name, config.dataDir),
    SLUICE_SINKS: environment.SLUICE_SINKS ?? sinks(config),
  };
  return {
    ...inherited(access.secrets ?? []),
    ...present({ ...decided, ...entranceVariables(installation, service) }),
  };
}

/** The ports of those that take input: with an api, the gateway's HTTP is behind it, on loopback. */
function entranceVariables({ config, mqttPort, httpPort, gatewayPort }: Installation, service: ServiceSpec) {
  if (!service.entrance) return {};
  const named = (name: string) => config.services.some((one) => one.name === name);
  const behind = service.name === "ingest-gateway" && named("api");
  return {
    SLUICE_MQTT_PORT: `${mqttPort}`,
    SLUICE_HTTP_PORT: `${behind ? gatewayPort : httpPort}`,
    SLUICE_GATEWAY_URL: named("ingest-gateway")
      ? `http://${urlHost(config.variables.SLUICE_HOST)}:${gatewayPort}`
      : undefined,
  };
}

/** The servers as the service's own accounts; a server from outside as it was given. */
function serverVariables({ config, servers, secrets }: Installation, service: string) {
  const given = config.variables;
  const { postgres, redis, influx } = accessOf(service);
  const redisUrl =
    given.REDIS_URL === undefined
      ? asAccount(servers.redisUrl, service, secrets.redisPassword)
      : servers.redisUrl;
  const postgresUrl =
    given.DATABASE_URL === undefined && postgres !== undefined
      ? asAccount(servers.postgresUrl, postgres, secrets.postgresPassword)
      : servers.postgresUrl;
  return {
    ...(redis === undefined ? {} : { REDIS_URL: redisUrl, BUS_URL: given.BUS_URL ?? redisUrl }),
    ...(postgres === undefined ? {} : { DATABASE_URL: postgresUrl }),
    ...(influx === undefined ? {} : influxVariables(servers)),
    ...(influx === undefined || given.INFLUXDB_URL !== undefined || servers.influx === null
      ? {}
      : { INFLUXDB_USERNAME: influx, INFLUXDB_PASSWORD: passwordOf(secrets.influxPassword, influx) }),
  };
}

/** The same after a crash, so that a service takes up at once what its last life had in hand. */
function consumerName(service: string, dataDir: string): string {
  const place = createHash("sha1").update(dataDir).digest("hex").slice(0, 6);
  return `${service}-${hostname()
    .replace(/[^A-Za-z0-9.-]/g, "-")
    .slice(0, 32)}-${place}`;
}

/** PostgreSQL always: what it has not seen must be kept. The others only where something reads for them. */
function sinks(config: UpConfig): string {
  const groups = config.services.flatMap(({ group }) => (group === undefined ? [] : [group]));
  return [...new Set(["postgres", ...groups])].join(",");
}

function influxVariables({ influx }: Omit<ServerSet, "private">): Record<string, string | undefined> {
  if (influx === null) return {};
  return {
    INFLUXDB_URL: influx.url,
    INFLUXDB_VERSION: influx.version,
    INFLUXDB_USERNAME: influx.username,
    INFLUXDB_PASSWORD: influx.password,
    INFLUXDB_TOKEN: influx.token,
    INFLUXDB_ORG: influx.org,
    INFLUXDB_BUCKET: influx.bucket,
  };
}

/** Variables that are a secret or carry one. */
const SECRET =
  /^(REDIS|BUS|DATABASE|DATABASE_READ|DATABASE_DIRECT|MQTT|INFLUXDB|SLUICE_MOSQUITTO|SLUICE_SMTP)_URL$|PASSWORD|USERNAME|TOKEN|PEPPER|SECRET|API_KEY/;

/** The user's own variables, secrets only if they are among `secrets`. */
function inherited(secrets: readonly string[]): Record<string, string> {
  const told = Object.keys(variables).filter((name) => !SECRET.test(name) || secrets.includes(name));
  const names = [...SYSTEM, ...told, ...told.map((name) => `${name}_FILE`)];
  return present(Object.fromEntries(names.map((name) => [name, environment[name]])));
}

function present(values: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const entries = Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(entries.filter(([, value]) => value !== ""));
}
