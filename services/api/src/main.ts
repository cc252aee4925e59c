#!/usr/bin/env node
// In: HTTP requests of people, programs and devices. Out: answers out of PostgreSQL and InfluxDB; readings to the gateway.
import { openBus, openKeyValue } from "@sluice/bus";
import { openDb } from "@sluice/db";
import { runService, untilStopped } from "@sluice/service-kit";
import { openApi } from "./api.ts";
import { Config } from "./config.ts";

await runService("api", Config, async ({ config, log, metrics, signal, use, started }) => {
  const db = use(
    "postgres",
    await openDb(config.DATABASE_URL, { log, max: 10, applicationName: "sluice-api" }),
  );
  const bus = use("bus", await openBus(config.BUS_URL ?? config.REDIS_URL, { log }));
  const keyValue = use("redis", await openKeyValue(config.REDIS_URL, { log }));
  use("http", await openApi({ config, db, bus, keyValue, log, metrics }));
  await untilStopped({ signal, started });
});
