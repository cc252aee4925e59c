// Telemetry from the bus and rules from PostgreSQL in; alerts, quality flags, commands and notifications out.
import { openBus } from "@sluice/bus";
import { openDb } from "@sluice/db";
import { runService } from "@sluice/service-kit";
import { Config } from "./config.ts";
import { deliver } from "./deliver.ts";
import { createFlowMetrics } from "./flow-metrics.ts";
import { lead } from "./lead.ts";
import { createAlertMetrics } from "./metrics.ts";
import { createSenders } from "./senders.ts";
import { watch } from "./watch.ts";

await runService("alert-worker", Config, async ({ config, log, metrics: registry, signal, use, started }) => {
  const db = use("postgres", await openDb(config.DATABASE_URL, { log, applicationName: "alert-worker" }));
  const bus = use("bus", await openBus(config.BUS_URL ?? config.REDIS_URL, { log }));
  const metrics = createAlertMetrics(registry);
  createFlowMetrics(registry, {
    db,
    bus,
    partitions: config.SLUICE_PARTITIONS,
    dataDir: config.SLUICE_DATA_DIR ?? ".",
  });
  started();
  await Promise.all([
    lead(db, { signal, log }, (term) => watch({ db, bus, config, log, metrics }, term)),
    deliver(db, createSenders(config, bus), { signal, log, metrics }),
  ]);
});
