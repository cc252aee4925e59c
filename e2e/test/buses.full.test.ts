import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "@jest/globals";
import { openBus } from "@sluice/bus";
import { openDb } from "@sluice/db";
import { type Server, startNatsCluster, startRedisCluster } from "@sluice/servers";
import { partitionOf, streamKey } from "@sluice/shared-types";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";
import { runPublisher } from "../src/faults/run-publisher.ts";
import { judge, readLedgerFile, readQuarantine, readRows } from "../src/judge.ts";

const patient = { timeoutMs: 120_000, intervalMs: 200 };
const root = mkdtempSync(join(tmpdir(), "sluice buses "));
const devices = Array.from({ length: 8 }, (_, i) => `bus-${i}`);
let sluice: Installation | undefined;
let stopServers = async () => {};

afterEach(async () => {
  await sluice?.stop();
  await stopServers();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface Cluster {
  name: string;
  /** Starts the servers; gives the environment, and how to kill the one that leads the first partition. */
  start(): Promise<{ env: Record<string, string>; killLeader(): Promise<Server>; stop(): Promise<void> }>;
}

const PARTITIONS = 4;
const FIRST = streamKey("telemetry", 0);

const CLUSTERS: Cluster[] = [
  {
    name: "Redis Cluster",
    async start() {
      const cluster = await startRedisCluster();
      const url = `${cluster.url}&replicas=1`;
      return {
        env: { REDIS_URL: url, BUS_URL: url, SLUICE_PARTITIONS: `${PARTITIONS}` },
        async killLeader() {
          const leader = await cluster.primaryOf(FIRST);
          await leader.kill("SIGKILL");
          await waitFor(async () => (await cluster.primaryOf(FIRST)) !== leader, patient);
          return leader;
        },
        stop: cluster.stop,
      };
    },
  },
  {
    name: "JetStream R3",
    async start() {
      const members = await startNatsCluster(3);
      const nodes = members.map(({ port }) => `127.0.0.1:${port}`);
      return {
        env: {
          BUS_URL: `nats://${nodes[0]}?replicas=3&nodes=${nodes.slice(1).join(",")}`,
          SLUICE_PARTITIONS: "1",
        },
        async killLeader() {
          // Of three, the first is as likely to lead as any; killing it also takes the address of the url away.
          const [leader] = members;
          if (!leader) throw new Error("no member");
          await leader.kill("SIGKILL");
          return leader;
        },
        stop: async () => void (await Promise.all(members.map((member) => member.stop()))),
      };
    },
  },
];

describe.each(CLUSTERS)("every service on $name", (cluster) => {
  test("services and a leader of the bus killed under load: nothing acknowledged is lost, nothing is there twice", async () => {
    const servers = await cluster.start();
    stopServers = servers.stop;
    const installation = await startInstallation({ env: servers.env, readyTimeoutMs: 180_000 });
    sluice = installation;
    const boot = cluster.name.replace(/\W/g, "");
    const ledger = join(root, `${boot}.ledger`);
    const fleet = await installation.createFleet("buses", devices);
    const status = await installation.status();
    const load = runPublisher({
      mqttUrl: status?.mqttUrl ?? "",
      ...fleet,
      devices,
      boot,
      rate: 100,
      seconds: 40,
      patienceSeconds: 120,
      ledger,
      topicRoot: "iotflow",
      clientPrefix: boot,
      acknowledgement: "puback",
    });
    for (const name of ["stream-worker", "ingest-gateway"]) {
      await waitFor(() => stored(installation), patient);
      await installation.kill(name, "SIGKILL");
      await installation.untilReady(120_000);
    }
    const killed = await servers.killLeader();
    await killed.restart();
    const report = await load.report;
    expect(report.acknowledged).toBe(report.sent);
    await installation.untilReady(120_000);

    const balances = await waitFor(async () => {
      const all = await ledgers(servers.env);
      return all.every(({ pending, unread }) => pending + unread === 0) ? all : undefined;
    }, patient);
    for (const balance of balances) expect(balance).toMatchObject({ balanced: true, lost: 0 });
    const db = await openDb(installation.urls().postgresUrl, { max: 1 });
    try {
      const [rows, kept] = [await readRows(db, devices), await readQuarantine(db, devices)];
      expect(judge(readLedgerFile(ledger), boot, rows, kept)).toMatchObject({ lost: [], duplicated: [] });
    } finally {
      await db.close();
    }
    const partitions = new Set(devices.map((id) => partitionOf(id, PARTITIONS)));
    expect(partitions.size).toBeGreaterThan(1);
  });
});

async function stored(installation: Installation): Promise<boolean> {
  const db = await openDb(installation.urls().postgresUrl, { max: 1 });
  return readRows(db, devices)
    .then((rows) => rows.length > 0)
    .finally(() => db.close());
}

async function ledgers(env: Record<string, string>) {
  const bus = await openBus(env.BUS_URL ?? "");
  try {
    const streams = Array.from({ length: Number(env.SLUICE_PARTITIONS) }, (_, i) =>
      streamKey("telemetry", i),
    );
    return (await Promise.all(streams.map((stream) => bus.ledger(stream)))).flat();
  } finally {
    await bus.close();
  }
}
