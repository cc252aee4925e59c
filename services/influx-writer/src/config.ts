import { createConfig } from "@sluice/service-kit";

/**
 * Variables of this service. INFLUXDB_BATCH_SIZE is the most points in one request; INFLUXDB_FLUSH_INTERVAL is
 * how long a read may wait for the first message, never a delay of one that is there. DATABASE_URL is optional:
 * without it points carry the tags that messages bring.
 */
export const Config = createConfig(
  "REDIS_URL",
  "BUS_URL",
  "INFLUXDB_URL",
  "INFLUXDB_TOKEN",
  "INFLUXDB_USERNAME",
  "INFLUXDB_PASSWORD",
  "INFLUXDB_ORG",
  "INFLUXDB_BUCKET",
  "INFLUXDB_VERSION",
  "INFLUXDB_TIMEOUT",
  "INFLUXDB_BATCH_SIZE",
  "INFLUXDB_FLUSH_INTERVAL",
  "SLUICE_PARTITIONS",
  "SLUICE_CONSUMER",
  "SLUICE_SENSOR_BUDGET",
).extend(createOptional());

function createOptional() {
  const { DATABASE_URL } = createConfig("DATABASE_URL").shape;
  return { DATABASE_URL: DATABASE_URL.optional() };
}
