import { createConfig } from "@sluice/service-kit";
import type { z } from "zod";

/** What the gateway reads from its environment. */
export const Config = createConfig(
  "REDIS_URL",
  "BUS_URL",
  "DATABASE_URL",
  "DATABASE_DIRECT_URL",
  "MQTT_URL",
  "SLUICE_HOST",
  "SLUICE_MQTT_PORT",
  "SLUICE_MQTTS_PORT",
  "SLUICE_WS_PORT",
  "SLUICE_HTTP_PORT",
  "SLUICE_TLS_CERT",
  "SLUICE_TLS_KEY",
  "SLUICE_TLS_CLIENT_CA",
  "SLUICE_HTTPS_PORT",
  "SLUICE_DEVICE_RATE",
  "SLUICE_DEVICE_BYTES",
  "SLUICE_PEPPER",
  "SLUICE_TOPIC_ROOT",
  "SLUICE_TOPIC_MAPS",
  "SLUICE_MAX_CONNECTIONS",
  "SLUICE_MAX_PACKET_BYTES",
  "SLUICE_STRICT_CLIENT_ID",
  "SLUICE_TIME_ZONE",
  "SLUICE_MQTT_CLIENT_ID",
  "SLUICE_MQTT_CONNECTIONS",
  "SLUICE_MQTT_SHARED",
  "SLUICE_MQTT_TRUST",
  "SLUICE_MQTT_CA",
  "SLUICE_MQTT_QOS",
  "SLUICE_MQTT_CLEAN",
  "SLUICE_ALLOW_UNSAFE",
  "SLUICE_SINKS",
  "MAX_FUTURE",
  "SLUICE_HIGH_WATER",
  "SLUICE_PARTITIONS",
);
/** See {@link Config}. */
export type Config = z.output<typeof Config>;
