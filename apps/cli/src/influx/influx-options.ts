import type { InfluxOptions, InfluxVersion } from "@sluice/influx";
import { createConfig, loadConfig } from "@sluice/service-kit";
import type { Command } from "commander";
import { environment } from "../environment.ts";
import { connectFor } from "../installation.ts";
import type { InfluxAccess } from "../state.ts";

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
 * running installation. @throws ConfigError, CommandError where there is none
 */
export function influxOptionsFor(command: Command): InfluxOptions & { ours: boolean } {
  const kept = environment.INFLUXDB_URL === undefined ? connectFor(command).influx : undefined;
  return kept === undefined ? ofEnvironment() : ofInstallation(kept);
}

function ofEnvironment() {
  const given = loadConfig(Variables, environment);
  return {
    ours: false,
    url: given.INFLUXDB_URL,
    version: Number(given.INFLUXDB_VERSION) as InfluxVersion,
    bucket: given.INFLUXDB_BUCKET,
    org: given.INFLUXDB_ORG,
    ...present({
      token: given.INFLUXDB_TOKEN,
      username: given.INFLUXDB_USERNAME,
      password: given.INFLUXDB_PASSWORD,
    }),
  };
}

function ofInstallation({ url, version, bucket, org, token, username, password }: InfluxAccess) {
  const login = present({ token, username, password });
  return { ours: true, url, version: Number(version) as InfluxVersion, bucket, org, ...login };
}

const present = (login: Record<"token" | "username" | "password", string | undefined>) => ({
  ...(login.token !== undefined && { token: login.token }),
  ...(login.username !== undefined && { username: login.username }),
  ...(login.password !== undefined && { password: login.password }),
});
