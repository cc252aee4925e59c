import { createConfig } from "@sluice/service-kit";

/**
 * Variables of this service. Rollups run always; ETL_ENABLED is for the jobs. Hours are those of SLUICE_TIME_ZONE. Where
 * there is an INFLUXDB_URL, what is stored there is compared with PostgreSQL once a day.
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
).extend(createOptional());

function createOptional() {
  const { INFLUXDB_URL } = createConfig("INFLUXDB_URL").shape;
  return { INFLUXDB_URL: INFLUXDB_URL.optional() };
}
