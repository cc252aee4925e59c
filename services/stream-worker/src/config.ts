import { createConfig } from "@sluice/service-kit";

/** What stream-worker reads from its environment. */
export const Config = createConfig(
  "REDIS_URL",
  "BUS_URL",
  "DATABASE_URL",
  "SLUICE_PARTITIONS",
  "SLUICE_CONSUMER",
  "SLUICE_ALLOW_UNSAFE",
  "SLUICE_AUTO_REGISTER",
  "SLUICE_SENSOR_BUDGET",
  "SLUICE_BATCH_MESSAGES",
  "SLUICE_HIGH_WATER",
  "SLUICE_PARK_MAX_MB",
  "SLUICE_QUARANTINE_DAYS",
  "SLUICE_QUARANTINE_MAX_MB",
);
