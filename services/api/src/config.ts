import { createConfig } from "@sluice/service-kit";
import type { z } from "zod";

/** What the api reads from its environment. Without INFLUXDB_URL document B's queries answer 503. */
export const Config = createConfig(
  "REDIS_URL",
  "BUS_URL",
  "DATABASE_URL",
  "INFLUXDB_URL",
  "INFLUXDB_TOKEN",
  "INFLUXDB_USERNAME",
  "INFLUXDB_PASSWORD",
  "INFLUXDB_ORG",
  "INFLUXDB_BUCKET",
  "INFLUXDB_VERSION",
  "INFLUXDB_TIMEOUT",
  "SLUICE_HOST",
  "SLUICE_HTTP_PORT",
  "SLUICE_MQTT_PORT",
  "SLUICE_GATEWAY_URL",
  "SLUICE_PUBLIC_URL",
  "SLUICE_CORS_ORIGINS",
  "SLUICE_RATE_LIMIT",
  "SLUICE_PEPPER",
  "SLUICE_PARTITIONS",
  "SLUICE_TOPIC_ROOT",
  "SLUICE_MAX_CONNECTIONS",
  "SLUICE_MAX_PACKET_BYTES",
  "SLUICE_ALLOW_UNSAFE",
  "SLUICE_SINKS",
  "ETL_ENABLED",
  "ETL_HOURLY_INTERVAL_MINUTES",
  "ETL_DAILY_HOUR",
  "SLUICE_TIME_ZONE",
  "ETL_HOURLY_RETENTION_DAYS",
  "ETL_CONDITION_CALC_ENABLED",
  "MAX_FUTURE",
  "PROCESSING_INTERVAL_MINUTES",
  "PROCESSING_PARALLEL_NODES",
).partial({ INFLUXDB_URL: true });
/** See {@link Config}. */
export type Config = z.output<typeof Config>;
