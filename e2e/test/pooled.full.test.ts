import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { createFleet, openDb } from "@sluice/db";
import { freePort, startPgbouncer } from "@sluice/servers";
import { usePostgres, useRedis, useServer, waitFor } from "@sluice/testkit";
import { runPublisher } from "../src/faults/run-publisher.ts";
import { judge, readLedgerFile, readQuarantine, readRows } from "../src/judge.ts";
import { type ServiceProcess, startService } from "../src/service-process.ts";

const patient = { timeoutMs: 60_000, intervalMs: 200 };
const PEPPER = "pepper-of-the-pooled-test";
const root = mkdtempSync(join(tmpdir(), "sluice pooled "));
const redis = useRedis({ appendfsync: "always" });
const postgres = usePostgres();
const devices = ["pooled-1", "pooled-2", "pooled-3"];
const processes: ServiceProcess[] = [];

afterAll(async () => {
  await Promise.all(processes.map((one) => one.stop()));
  rmSync(root, { recursive: true, force: true });
});

const pool = useServer(() => startPgbouncer({ target: postgres.url, poolSize: 8 }));

test("every service works through pgbouncer in transaction mode, on a handful of connections", async () => {
  const env = {
    REDIS_URL: redis.url,
    DATABASE_URL: pool.url,
    DATABASE_DIRECT_URL: postgres.url,
    SLUICE_SINKS: "postgres",
    SLUICE_PEPPER: PEPPER,
    SLUICE_ALLOW_UNSAFE: "true",
    ETL_ENABLED: "true",
  };
  const direct = await openDb(postgres.url, { max: 1 });
  try {
    const fleet = await createFleet(direct, PEPPER, {
      username: "pooled",
      devices,
      type: "test",
      overlapMs: 0,
    });
    const [mqttPort, httpPort] = [await freePort(), await freePort()];
    const gatewayPorts = { SLUICE_MQTT_PORT: `${mqttPort}`, SLUICE_HTTP_PORT: `${await freePort()}` };
    processes.push(await startService("ingest-gateway", "gateway", { ...env, ...gatewayPorts }));
    processes.push(await startService("api", "api", { ...env, SLUICE_HTTP_PORT: `${httpPort}` }));
    for (const name of ["stream-worker", "etl-scheduler"])
      processes.push(await startService(name, name, env));
    const ledger = join(root, "ledger");
    const report = await runPublisher({
      mqttUrl: `mqtt://127.0.0.1:${mqttPort}`,
      ...fleet,
      devices,
      boot: "pooled",
      rate: 100,
      seconds: 5,
      patienceSeconds: 30,
      ledger,
      topicRoot: "iotflow",
      clientPrefix: "pooled",
      acknowledgement: "puback",
    }).report;
    expect(report.acknowledged).toBe(report.sent);
    await waitFor(async () => (await readRows(direct, devices)).length === report.sent, patient);
    const verdict = judge(
      readLedgerFile(ledger),
      "pooled",
      await readRows(direct, devices),
      await readQuarantine(direct, devices),
    );
    expect(verdict).toMatchObject({ lost: [], duplicated: [] });
    expect((await fetch(`http://127.0.0.1:${httpPort}/health`)).status).toBe(200);
    const [connections] = await direct.query<{ n: number }>(
      "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    // The pool's eight, and the one session that is told of changed credentials.
    expect(connections?.n).toBeLessThanOrEqual(10);
  } finally {
    await direct.close();
  }
});
