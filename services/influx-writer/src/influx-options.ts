import type { InfluxOptions, InfluxVersion } from "@sluice/influx";
import type { z } from "zod";
import type { Config } from "./config.ts";

/** How InfluxDB is opened for `config`. */
export function influxOptions(config: z.output<typeof Config>): InfluxOptions {
  const { INFLUXDB_TOKEN: token, INFLUXDB_USERNAME: username, INFLUXDB_PASSWORD: password } = config;
  return {
    url: config.INFLUXDB_URL,
    version: Number(config.INFLUXDB_VERSION) as InfluxVersion,
    bucket: config.INFLUXDB_BUCKET,
    org: config.INFLUXDB_ORG,
    timeoutMs: config.INFLUXDB_TIMEOUT,
    ...(token === undefined ? {} : { token }),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  };
}
