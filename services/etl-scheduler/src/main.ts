// Readings in PostgreSQL in; rollups and BI tables out. Any number of instances: one of them leads.
import { randomUUID } from "node:crypto";
import { openDb } from "@sluice/db";
import { createEngine, createMachineStores } from "@sluice/etl";
import { influxOptions, openInflux } from "@sluice/influx";
import { runService } from "@sluice/service-kit";
import { Config } from "./config.ts";
import { lead } from "./lead.ts";
import { createTasks } from "./tasks.ts";

await runService("etl-scheduler", Config, async ({ config, log, metrics, signal, use, started }) => {
  const db = use("postgres", await openDb(config.DATABASE_URL, { log, applicationName: "sluice-etl" }));
  const engine = createEngine({ db, log, signal, holder: randomUUID(), trigger: "scheduler", patienceMs: 0 });
  const { INFLUXDB_URL } = config;
  const influx =
    INFLUXDB_URL === undefined ? undefined : openInflux(influxOptions({ ...config, INFLUXDB_URL }));
  // the rest goes on without it, so it says nothing about readiness
  if (influx) use("influx", { ping: async () => {}, close: () => influx.close() });
  const stores = createMachineStores(config);
  use("machines", { ping: async () => {}, close: stores.close });
  const tasks = createTasks(engine, config, metrics, influx, stores);
  started();
  await lead(engine, tasks);
});
