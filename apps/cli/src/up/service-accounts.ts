import { createHash, createHmac } from "node:crypto";
import type { ServiceRole } from "@sluice/db";
import type { InfluxUser } from "@sluice/servers";
import type { Secrets } from "../secrets.ts";

/** What a service may use of an installation; what is absent it is not told. */
export interface ServiceAccess {
  postgres?: ServiceRole;
  /** Key patterns that it may touch in Redis. */
  redis?: readonly string[];
  influx?: "sluice_writer" | "sluice_reader" | "sluice_api";
  /** Secrets by the name of their variable. */
  secrets?: readonly string[];
}

const BUS = ["sluice:telemetry:*", "sluice:rejected:*", "sluice:commands:*", "sluice:outcomes:*"];
const CAN = ["can:raw*", "{can:raw}*"];
/** Live values of CAN nodes. */
const CAN_LIVE = "sensor:*";
/** Copies of the water network's figures. */
const WATER = ["node:*", "system:metrics:*", "anomalies:recent"];

/** What each service is given. */
const ACCESS: Readonly<Record<string, ServiceAccess>> = {
  "ingest-gateway": {
    postgres: "sluice_gateway",
    redis: ["sluice:*", "device:*", "heartbeat:*", ...CAN, CAN_LIVE],
    secrets: ["SLUICE_PEPPER", "MQTT_URL", "DATABASE_DIRECT_URL"],
  },
  "stream-worker": { postgres: "sluice_worker", redis: [...BUS, ...CAN] },
  "influx-writer": { postgres: "sluice_worker", redis: BUS, influx: "sluice_writer" },
  "etl-scheduler": {
    postgres: "sluice_etl",
    redis: [...BUS, ...WATER],
    influx: "sluice_reader",
    secrets: ["DB_PASSWORD"],
  },
  "alert-worker": { postgres: "sluice_alerts", redis: BUS, secrets: ["SLUICE_SMTP_URL"] },
};

/** The one that serves people reads everything and changes what they may change. */
const API: ServiceAccess = {
  postgres: "sluice_api",
  redis: ["sluice:*", "device:*", "heartbeat:*", "latest:*", ...WATER, ...CAN, CAN_LIVE],
  influx: "sluice_api",
  secrets: ["SLUICE_PEPPER", "SLUICE_JWT_SECRET", "DB_PASSWORD"],
};

/** What a service may use. */
export const accessOf = (service: string): ServiceAccess => ACCESS[service] ?? API;

/**
 * Password of an account on a server of ours, made from the server's own: nothing more to keep, and who has one
 * cannot find the others.
 */
export function passwordOf(serverPassword: string, account: string): string {
  return createHmac("sha256", serverPassword).update(`sluice account ${account}`).digest("hex").slice(0, 48);
}

/** What bus, key-value store and health checks of the services call; FLUSHALL, KEYS, CONFIG SET, DEBUG are not there. */
const COMMANDS =
  "+ping +quit +hello +select +info +time +client|setname +client|id +client|unblock +config|get " +
  "+eval +evalsha +exists +get +set +del +hdel +hget +hset +hsetnx +hmget +hkeys +hgetall +hincrby +hexists +pexpire " +
  "+xadd +xack +xrange +xrevrange +xlen +xinfo|stream +xinfo|groups +xinfo|consumers +xpending +xclaim +xautoclaim " +
  "+xgroup|create +xgroup|setid +xgroup|delconsumer +xreadgroup +xtrim";

/** ACL lines of redis.conf: one user per service. */
export function redisUsers(secrets: Secrets, services: readonly string[]): string[] {
  return services.flatMap((service) => {
    const { redis } = accessOf(service);
    if (redis === undefined) return [];
    const hash = createHash("sha256").update(passwordOf(secrets.redisPassword, service)).digest("hex");
    return `user ${service} on #${hash} ${redis.map((pattern) => `~${pattern}`).join(" ")} resetchannels -@all ${COMMANDS}`;
  });
}

/** InfluxDB users: one that only writes, one that only reads, and the api's, which also deletes. */
export function influxUsers(secrets: Secrets): InfluxUser[] {
  const privileges = { sluice_writer: "WRITE", sluice_reader: "READ", sluice_api: "ALL" } as const;
  return Object.entries(privileges).map(([username, privilege]) => ({
    username,
    password: passwordOf(secrets.influxPassword, username),
    privilege,
  }));
}

/** A server's URL as another account. */
export function asAccount(url: string, username: string, serverPassword: string): string {
  const changed = new URL(url);
  changed.username = username;
  changed.password = passwordOf(serverPassword, username);
  return changed.href;
}
