import { createConfig } from "@sluice/service-kit";

/** Variables of this service. Rollups run always; ETL_ENABLED is for the BI jobs. Hours are those of SLUICE_TIME_ZONE. */
export const Config = createConfig(
  "DATABASE_URL",
  "ETL_ENABLED",
  "ETL_HOURLY_INTERVAL_MINUTES",
  "ETL_DAILY_HOUR",
  "ETL_HOURLY_RETENTION_DAYS",
  "ETL_CONDITION_CALC_ENABLED",
  "SLUICE_TIME_ZONE",
);
