import { createConfig, loadConfig } from "@sluice/service-kit";
import type { z } from "zod";
import { environment, resolveDataDir } from "../environment.ts";
import { type ServiceSpec, selectServices } from "../service-list.ts";

const Variables = createConfig(
  "REDIS_URL",
  "BUS_URL",
  "DATABASE_URL",
  "MQTT_URL",
  "INFLUXDB_URL",
  "INFLUXDB_TOKEN",
  "INFLUXDB_USERNAME",
  "INFLUXDB_PASSWORD",
  "INFLUXDB_ORG",
  "INFLUXDB_BUCKET",
  "INFLUXDB_VERSION",
  "SLUICE_HOST",
  "SLUICE_MQTT_PORT",
  "SLUICE_HTTP_PORT",
  "SLUICE_TOPIC_ROOT",
  "SLUICE_PEPPER",
  "SLUICE_SERVICES",
  "SLUICE_REDIS_MAXMEMORY",
  "SLUICE_NO_TTY",
  "SLUICE_STOP_TIMEOUT",
).partial({ REDIS_URL: true, DATABASE_URL: true, INFLUXDB_URL: true, SLUICE_PEPPER: true });

/** Flags of `up`; each wins over its variable. */
export interface UpFlags {
  dataDir?: string;
  mqttPort?: number;
  httpPort?: number;
  services?: string;
  tty?: boolean;
  yes?: boolean;
}

/** What `up` was asked to do. */
export interface UpConfig {
  dataDir: string;
  variables: z.output<typeof Variables>;
  /** 0 asks for any free port. */
  mqttPort: number | undefined;
  httpPort: number | undefined;
  services: readonly ServiceSpec[];
  /** Lines for people that are redrawn, instead of a JSON log. */
  screen: boolean;
}

/** Joins flags and variables. @throws ConfigError or CommandError naming what is wrong */
export function readUpConfig(flags: UpFlags): UpConfig {
  const variables = loadConfig(Variables, environment);
  return {
    dataDir: resolveDataDir(flags.dataDir),
    variables,
    mqttPort: flags.mqttPort ?? variables.SLUICE_MQTT_PORT,
    httpPort: flags.httpPort ?? variables.SLUICE_HTTP_PORT,
    services: selectServices(flags.services ?? variables.SLUICE_SERVICES),
    screen: process.stdout.isTTY === true && flags.tty !== false && !variables.SLUICE_NO_TTY,
  };
}
