import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server as NetServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { openBus } from "@sluice/bus";
import { createFleet, openDb } from "@sluice/db";
import { freePort } from "@sluice/servers";
import { streamKey } from "@sluice/shared-types";
import { usePostgres, useRedis, waitFor } from "@sluice/testkit";
import mqtt from "mqtt";
import { runPublisher } from "../src/faults/run-publisher.ts";
import { judge, readLedgerFile, readQuarantine, readRows } from "../src/judge.ts";
import { type ServiceProcess, startService } from "../src/service-process.ts";

const patient = { timeoutMs: 60_000, intervalMs: 200 };
const PEPPER = "pepper-of-the-instances-test";
const PARTITIONS = 2;
const root = mkdtempSync(join(tmpdir(), "sluice instances "));
const redis = useRedis({ appendfsync: "always" });
const postgres = usePostgres();
const devices = Array.from({ length: 10 }, (_, i) => `many-${i}`);
const processes: ServiceProcess[] = [];
const mqttPorts: number[] = [];
let address: { port: number; close(): void };
let fleet: { username: string; password: string };

/** One address for several gateways: each new connection goes to the next that takes it. */
async function openAddress(ports: readonly number[]) {
  let turn = 0;
  const server: NetServer = createServer((client) => {
    const attempt = (left: number) => {
      const port = ports[turn++ % ports.length] ?? 0;
      const gateway = connect(port, "127.0.0.1");
      gateway.once("connect", () => client.pipe(gateway).pipe(client));
      gateway.on("error", () => (left > 0 && gateway.bytesRead === 0 ? attempt(left - 1) : client.destroy()));
      gateway.on("close", () => gateway.bytesRead > 0 && client.destroy());
      client.once("close", () => gateway.destroy());
    };
    client.on("error", () => {});
    attempt(ports.length);
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return { port, close: () => void server.close() };
}

beforeAll(async () => {
  const common = {
    REDIS_URL: redis.url,
    DATABASE_URL: postgres.url,
    SLUICE_PARTITIONS: `${PARTITIONS}`,
    SLUICE_SINKS: "postgres",
    SLUICE_PEPPER: PEPPER,
    SLUICE_ALLOW_UNSAFE: "true", // the tests' PostgreSQL does not sync
    ETL_ENABLED: "true",
  };
  const db = await openDb(postgres.url, { max: 1 });
  fleet = await createFleet(db, PEPPER, { username: "many", devices, type: "test", overlapMs: 0 });
  await db.close();
  const wanted = ["ingest-gateway", "ingest-gateway", "stream-worker", "stream-worker", "stream-worker"];
  for (const [i, name] of [...wanted, "etl-scheduler", "etl-scheduler"].entries()) {
    const ports = { SLUICE_MQTT_PORT: `${await freePort()}`, SLUICE_HTTP_PORT: `${await freePort()}` };
    if (name === "ingest-gateway") mqttPorts.push(Number(ports.SLUICE_MQTT_PORT));
    processes.push(await startService(name, `${name}-${i}`, { ...common, ...ports }));
  }
  address = await openAddress(mqttPorts);
});

afterAll(async () => {
  await Promise.all(processes.map((one) => one.stop()));
  address?.close();
  rmSync(root, { recursive: true, force: true });
});

async function readBalances() {
  const bus = await openBus(redis.url);
  const streams = Array.from({ length: PARTITIONS }, (_, partition) => streamKey("telemetry", partition));
  return Promise.all(streams.map((stream) => bus.ledger(stream)))
    .then((all) => all.flat())
    .finally(() => bus.close());
}

describe("two gateways behind one address, three workers, two schedulers", () => {
  test("each job runs once for its window, by whichever scheduler leads", async () => {
    const db = await openDb(postgres.url, { max: 1 });
    const runs = () =>
      db.query<{ job: string; status: string; runs: number }>(
        `SELECT job_name AS job, status, count(*) AS runs FROM processing_jobs
          GROUP BY job_name, status, data_start_time, data_end_time ORDER BY job_name`,
      );
    try {
      const first = await waitFor(async () => {
        const rows = await runs();
        return rows.length > 1 && rows.every(({ status }) => status !== "running") ? rows : undefined;
      }, patient);
      expect(first.filter((one) => one.runs > 1)).toEqual([]);
      const leaders = await db.query("SELECT DISTINCT holder FROM etl_lease WHERE job_name = '#leader'");
      expect(leaders).toHaveLength(1);
    } finally {
      await db.close();
    }
  });

  test("one after the other restarted under load: one balanced ledger, nothing lost, nothing twice", async () => {
    const ledger = join(root, "ledger");
    const boot = "rolling";
    const load = runPublisher({
      mqttUrl: `mqtt://127.0.0.1:${address.port}`,
      ...fleet,
      devices,
      boot,
      rate: 100,
      seconds: 12,
      patienceSeconds: 60,
      ledger,
      topicRoot: "iotflow",
      clientPrefix: "rolling",
      acknowledgement: "puback",
    });
    const db = await openDb(postgres.url, { max: 2 });
    try {
      await waitFor(async () => (await readRows(db, devices)).length > 50, patient);
      // One of each kind: the rest are the same.
      for (const one of processes.filter((_, i) => [0, 2, 5].includes(i))) {
        expect([one.name, await one.stop()]).toEqual([one.name, 0]);
        await one.start();
      }
      const report = await load.report;
      expect(report.acknowledged).toBe(report.sent);
      const balances = await waitFor(async () => {
        const all = await readBalances();
        return all.every(({ pending, unread }) => pending + unread === 0) ? all : undefined;
      }, patient);
      expect(balances).toHaveLength(PARTITIONS);
      for (const balance of balances) expect(balance).toMatchObject({ balanced: true, lost: 0 });
      const [rows, kept] = [await readRows(db, devices), await readQuarantine(db, devices)];
      expect(judge(readLedgerFile(ledger), boot, rows, kept)).toMatchObject({ lost: [], duplicated: [] });
      expect(rows).toHaveLength(report.sent);
      // A scheduler that takes over looks at its jobs again; never do two run one of them at a time.
      const overlapping = await db.query(
        `SELECT a.job_name FROM processing_jobs a JOIN processing_jobs b
             ON a.job_name = b.job_name AND a.job_id < b.job_id AND a.started_at < b.completed_at AND b.started_at < a.completed_at`,
      );
      expect(overlapping).toEqual([]);
    } finally {
      await db.close();
    }
  });

  test("a client that connects to one gateway is cut at the other, and only there", async () => {
    const [first = 0, second = 0] = mqttPorts;
    const open = async (port: number) => {
      const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, {
        ...fleet,
        clientId: "wanderer",
        reconnectPeriod: 0,
      });
      let closed = false;
      client.on("close", () => {
        closed = true;
      });
      return { client, closed: () => closed };
    };
    const here = await open(first);
    // Two that come within a moment are ordered by who of the gateways tells first.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const there = await open(second);
    await waitFor(here.closed, { timeoutMs: 20_000, what: "the older session to end" });
    expect(there.closed()).toBe(false);
    const back = await open(first);
    await waitFor(there.closed, { timeoutMs: 20_000, what: "the older session to end" });
    expect(back.closed()).toBe(false);
    await back.client.endAsync(true);
  });
});
