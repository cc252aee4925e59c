import { createConfig } from "@sluice/service-kit";

/**
 * Variables of this service. Rollups run always; ETL_ENABLED is for the jobs. Hours are those of SLUICE_TIME_ZONE. Where
 * there is an INFLUXDB_URL, what is stored there is compared with PostgreSQL once a day. REDIS_URL is for the water
 * network's cache, and with a BIGQUERY_PROJECT_ID for what is read there.
 */
export const Config = createConfig(
  "DATABASE_URL",
  "ETL_ENABLED",
  "ETL_HOURLY_INTERVAL_MINUTES",
  "ETL_DAILY_HOUR",
  "ETL_HOURLY_RETENTION_DAYS",
  "ETL_CONDITION_CALC_ENABLED",
  "SLUICE_TIME_ZONE",
  "DB_HOST",
  "DB_PORT",
  "DB_USER",
  "DB_PASSWORD",
  "DB_NAME",
  "AGG_DB_NAME",
  "INFLUXDB_VERSION",
  "INFLUXDB_BUCKET",
  "INFLUXDB_ORG",
  "INFLUXDB_TOKEN",
  "INFLUXDB_USERNAME",
  "INFLUXDB_PASSWORD",
  "BUS_URL",
  "SLUICE_PARTITIONS",
  "PROCESSING_INTERVAL_MINUTES",
  "PROCESSING_PARALLEL_NODES",
  "GOOGLE_APPLICATION_CREDENTIALS",
  "BIGQUERY_PROJECT_ID",
  "BIGQUERY_DATASET",
  "BIGQUERY_TABLE",
  "BIGQUERY_ENDPOINT",
).extend(createOptional());

function createOptional() {
  const { INFLUXDB_URL, REDIS_URL } = createConfig("INFLUXDB_URL", "REDIS_URL").shape;
  return { INFLUXDB_URL: INFLUXDB_URL.optional(), REDIS_URL: REDIS_URL.optional() };
}
