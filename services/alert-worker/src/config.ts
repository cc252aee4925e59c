import { createConfig } from "@sluice/service-kit";
import type { z } from "zod";

/** What alert-worker reads from its environment. Without SLUICE_SMTP_URL e-mail channels fail, and say so. */
export const Config = createConfig(
  "REDIS_URL",
  "BUS_URL",
  "DATABASE_URL",
  "SLUICE_DATA_DIR",
  "SLUICE_PARTITIONS",
  "SLUICE_AUTO_REGISTER",
  "SLUICE_SENSOR_BUDGET",
  "SLUICE_SMTP_URL",
  "SLUICE_ALERT_FROM",
  "SLUICE_WEBHOOK_ALLOW",
  "SLUICE_ALERT_MAX_AGE",
);
/** See {@link Config}. */
export type Config = z.output<typeof Config>;
