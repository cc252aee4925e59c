import type { Bus, KeyValue } from "@sluice/bus";
import type { Db } from "@sluice/db";
import { type InfluxVersion, openInflux } from "@sluice/influx";
import type { Metrics } from "@sluice/service-kit";
import { createBrake } from "./brake.ts";
import type { Config } from "./config.ts";
import type { Deps } from "./deps.ts";
import { openEvents } from "./events.ts";
import { createIdentities } from "./identity.ts";
import { openLive } from "./live.ts";
import { createReads } from "./reads.ts";
import { openServer, type Server } from "./server.ts";
import { createSessions } from "./session.ts";

/** What the api is opened with; the servers stay the caller's. */
export interface ApiOptions {
  config: Config;
  db: Db;
  bus: Bus;
  keyValue: KeyValue;
  log: Deps["log"];
  metrics: Metrics;
}

/** Opens the api on its port. Closing it closes what it opened itself. */
export async function openApi({ metrics, ...options }: ApiOptions): Promise<Server> {
  const { config, db, bus } = options;
  const influx = openInfluxOf(config);
  const live = openLive(bus, config.SLUICE_PARTITIONS);
  const events = openEvents(db);
  const reads = createReads(db, config.DATABASE_READ_URL, options.log);
  const sessions = createSessions(config.SLUICE_PEPPER);
  const identities = createIdentities(db, config.SLUICE_PEPPER, sessions);
  const server = await openServer(
    { ...options, reads, influx, live, events, sessions, identities, brake: createBrake(5) },
    metrics,
  );
  return {
    ...server,
    close: async () => {
      await server.close();
      await live.close();
      await events.close();
      await reads.close();
      await influx?.close();
    },
  };
}

function openInfluxOf(config: Config): Deps["influx"] {
  const { INFLUXDB_URL: url, INFLUXDB_TOKEN: token, INFLUXDB_USERNAME: username } = config;
  if (url === undefined) return undefined;
  const password = config.INFLUXDB_PASSWORD;
  return openInflux({
    url,
    version: Number(config.INFLUXDB_VERSION) as InfluxVersion,
    bucket: config.INFLUXDB_BUCKET,
    org: config.INFLUXDB_ORG,
    timeoutMs: config.INFLUXDB_TIMEOUT,
    ...(token === undefined ? {} : { token }),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  });
}
