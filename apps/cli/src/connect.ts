import { type Bus, openBus } from "@sluice/bus";
import { type Db, openDb } from "@sluice/db";
import { CommandError } from "./command-error.ts";
import { environment, resolveDataDir } from "./environment.ts";
import { findHolder } from "./lock.ts";
import { readSecrets } from "./secrets.ts";
import { findState, type InfluxAccess, type State } from "./state.ts";

/** Access to an installation for the commands that work with its data. */
export interface Connection {
  dataDir: string;
  /** As `up` wrote it; undefined where only outside servers were given. */
  state: State | undefined;
  urls: {
    mqtt: string;
    http: string;
    /** Credentials included, like the next two. */
    postgres: string;
    redis: string;
    bus: string;
  };
  influx: InfluxAccess | undefined;
  topicRoot: string;
  /** Key under which secrets of devices are hashed. */
  pepper(): string;
  /** The caller closes it. */
  openBus(): Promise<Bus>;
  /** The caller closes it. */
  openDb(): Promise<Db>;
}

/**
 * Finds the running installation of a data folder, or the servers named by `DATABASE_URL` and `REDIS_URL`.
 * @throws CommandError where neither is there
 */
export function connect(options: { dataDir?: string | undefined } = {}): Connection {
  const dataDir = resolveDataDir(options.dataDir);
  const running = findHolder(dataDir) !== undefined;
  const state = running ? findState(dataDir) : undefined;
  const urls = state === undefined ? environmentUrls() : stateUrls(state);
  if (urls === undefined) {
    throw new CommandError(
      running
        ? `Sluice is still starting on ${dataDir}: try again in a moment`
        : `Sluice does not run on ${dataDir}: start it with ./sluice up, or give its --data-dir`,
    );
  }
  return {
    dataDir,
    state,
    urls,
    influx: state?.influx ?? undefined,
    topicRoot: state?.topicRoot ?? environment.SLUICE_TOPIC_ROOT ?? "iotflow",
    pepper: () => environment.SLUICE_PEPPER ?? readSecrets(dataDir).pepper,
    openBus: () => openBus(urls.bus),
    openDb: () => openDb(urls.postgres, { max: 4, applicationName: "sluice-cli" }),
  };
}

function stateUrls(state: State): Connection["urls"] {
  const { mqttUrl, httpUrl, postgresUrl, redisUrl, busUrl } = state;
  return { mqtt: mqttUrl, http: httpUrl, postgres: postgresUrl, redis: redisUrl, bus: busUrl };
}

function environmentUrls(): Connection["urls"] | undefined {
  const { DATABASE_URL, REDIS_URL, BUS_URL, MQTT_URL } = environment;
  if (!DATABASE_URL || !REDIS_URL) return undefined;
  return {
    mqtt: MQTT_URL ?? "mqtt://127.0.0.1:1883",
    http: "http://127.0.0.1:3001",
    postgres: DATABASE_URL,
    redis: REDIS_URL,
    bus: BUS_URL ?? REDIS_URL,
  };
}
