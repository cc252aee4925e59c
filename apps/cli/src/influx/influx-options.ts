import { type InfluxOptions, influxOptions } from "@sluice/influx";
import { createConfig, loadConfig } from "@sluice/service-kit";
import type { Command } from "commander";
import { environment } from "../environment.ts";
import { connectFor } from "../installation.ts";

const Variables = createConfig(
  "INFLUXDB_URL",
  "INFLUXDB_VERSION",
  "INFLUXDB_BUCKET",
  "INFLUXDB_ORG",
  "INFLUXDB_TOKEN",
  "INFLUXDB_USERNAME",
  "INFLUXDB_PASSWORD",
);

/**
 * How to reach the InfluxDB that a command line means: the one of the environment's `INFLUXDB_URL`, else that of the
 * running installation (`ours`). @throws ConfigError, CommandError where there is none
 */
export function influxOptionsFor(command: Command): InfluxOptions & { ours: boolean } {
  const kept = environment.INFLUXDB_URL === undefined ? connectFor(command).influx : undefined;
  if (kept === undefined) return { ...influxOptions(loadConfig(Variables, environment)), ours: false };
  const options = influxOptions({
    INFLUXDB_URL: kept.url,
    INFLUXDB_VERSION: kept.version,
    INFLUXDB_BUCKET: kept.bucket,
    INFLUXDB_ORG: kept.org,
    INFLUXDB_TOKEN: kept.token,
    INFLUXDB_USERNAME: kept.username,
    INFLUXDB_PASSWORD: kept.password,
  });
  return { ...options, ours: true };
}
