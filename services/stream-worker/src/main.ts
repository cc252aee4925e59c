/** Bus in (telemetry, rejected); PostgreSQL out (readings, quarantine, ledger), then the acknowledgement. */
import { openBus } from "@sluice/bus";
import { checkDurability, openDb } from "@sluice/db";
import { runService } from "@sluice/service-kit";
import { Config } from "./config.ts";
import { work } from "./work.ts";

await runService("stream-worker", Config, async ({ config, log, metrics, tracing, signal, use, started }) => {
  const options = { log, requireDurable: !config.SLUICE_ALLOW_UNSAFE };
  const db = use(
    "postgres",
    await openDb(config.DATABASE_URL, { max: 6, log, applicationName: "stream-worker" }),
  );
  await checkDurability(db, config.SLUICE_ALLOW_UNSAFE, log);
  const bus = use("bus", await openBus(config.BUS_URL ?? config.REDIS_URL, options));
  await work({ config, log, metrics, tracing, signal, use, bus, db }, started);
});
