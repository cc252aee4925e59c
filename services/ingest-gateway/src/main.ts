#!/usr/bin/env node
// In: MQTT (own broker, or following another one), HTTP and CAN frames. Out: streams `telemetry` and `rejected` of the bus.
import { openBus, openKeyValue } from "@sluice/bus";
import { runService, untilStopped } from "@sluice/service-kit";
import { openCan } from "./can-worker.ts";
import { Config } from "./config.ts";
import { openCredentials } from "./credentials.ts";
import { openGateway } from "./gateway.ts";

await runService(
  "ingest-gateway",
  Config,
  async ({ config, log, metrics, tracing, signal, use, started }) => {
    const requireDurable = !config.SLUICE_ALLOW_UNSAFE;
    const bus = use("bus", await openBus(config.BUS_URL ?? config.REDIS_URL, { log, requireDurable }));
    const keyValue = use("redis", await openKeyValue(config.REDIS_URL, { log }));
    const credentials = use(
      "credentials",
      await openCredentials({
        databaseUrl: config.DATABASE_DIRECT_URL ?? config.DATABASE_URL,
        keyValue,
        pepper: config.SLUICE_PEPPER,
        log,
      }),
    );
    use("gateway", await openGateway({ config, bus, keyValue, credentials, log, metrics, tracing }));
    const can = await openCan({ config, bus, keyValue, log });
    if (can) use("can-worker", can);
    await Promise.race([untilStopped({ signal, started }), can?.done ?? new Promise(() => {})]);
  },
);
