import { startRedis } from "@sluice/servers";
import { startProxy } from "@sluice/testkit/start-proxy";
import { waitFor } from "@sluice/testkit/wait-for";
import { readImbalance, readNamedLosses } from "./balance.ts";
import type { Fault, Injection } from "./fault.ts";
import { type Rig, signalService } from "./rig.ts";
import { redisCli } from "./servers.ts";

const TELEMETRY = "sluice:telemetry:{0}";
const CONSUMERS = ["stream-worker", "influx-writer"];

/** While the consumers are held, `harm` takes messages away that Redis had acknowledged; then the loss must be named. */
const lose = (harm: (rig: Rig) => Promise<void>) => async (injection: Injection) => {
  const { rig, sleep, random, undo, afterwards, expect, note } = injection;
  const before = await readNamedLosses(rig);
  const balance = sumOf(await readImbalance(rig));
  undo(() => resume(rig));
  await sleep(random(500, 1500));
  for (const name of CONSUMERS) signalService(rig, name, "SIGSTOP");
  await sleep(random(500, 1500));
  await harm(rig);
  resume(rig);
  afterwards(async () => {
    const named = await waitFor(
      async () => {
        const after = await readNamedLosses(rig);
        const lost = (after.postgres ?? 0) - (before.postgres ?? 0);
        return lost > 0 ? lost : undefined;
      },
      { timeoutMs: 5000, what: "a named loss" },
    ).catch(() => 0);
    const missing = sumOf(await readImbalance(rig)) - balance;
    expect("O7", named > 0 || missing > 0, "neither the loss counter nor the ledger says so");
    note(`the bus names ${named} messages, the ledger is off by ${missing}`);
  });
};

const sumOf = (missing: Record<string, number>) => Object.values(missing).reduce((sum, n) => sum + n, 0);

const resume = (rig: Rig) => {
  for (const name of CONSUMERS) signalService(rig, name, "SIGCONT");
};

/** Redis that has lost what it had acknowledged. */
async function failOver(injection: Injection): Promise<void> {
  const { rig, sleep, random, note } = injection;
  const { password } = new URL(rig.redis.url);
  const link = await startProxy(rig.redis.port);
  const replica = await startRedis({
    password,
    config: `replicaof 127.0.0.1 ${link.port}\nmasterauth ${password}\nreplica-read-only yes`,
  });
  rig.undoWhenClosed(async () => {
    await replica.stop();
    await link.close();
  });
  const cli = (...words: string[]) => redisCli({ ...rig, redis: replica }, ...words);
  await waitFor(async () => (await cli("INFO", "replication")).includes("master_link_status:up"), {
    what: "the replica",
  });
  await sleep(random(500, 1000));
  for (const name of CONSUMERS) signalService(rig, name, "SIGSTOP");
  injection.undo(() => resume(rig));
  link.pause();
  await sleep(random(500, 1500));
  await rig.redis.kill("SIGKILL");
  rig.proxies.redis.cutAll();
  await cli("REPLICAOF", "NO", "ONE");
  rig.proxies.redis.retarget(replica.port);
  await rig.useRedis(replica);
  note("asynchronous replication loses what it had not carried yet");
}

/** The worker's consumer is removed with entries in hand whose COMMIT never comes through; its next life has them again. */
async function removeConsumer({ rig, sleep, random, undo, expect, note }: Injection): Promise<void> {
  undo(() => {
    rig.proxies.postgres.cutAll();
    rig.proxies.postgres.resume();
  });
  await sleep(random(500, 1500));
  rig.proxies.postgres.pause();
  await sleep(random(800, 1500));
  signalService(rig, "stream-worker", "SIGSTOP");
  const { groups } = await rig.bus.lag(TELEMETRY);
  const holders = groups.find(({ group }) => group === "postgres")?.consumers ?? [];
  let entries = 0;
  for (const { name, pending } of holders) {
    if (pending === 0) continue;
    entries += pending;
    await redisCli(rig, "XGROUP", "DELCONSUMER", TELEMETRY, "postgres", name);
  }
  signalService(rig, "stream-worker", "SIGKILL");
  expect("O1", entries > 0, "no entry was in hand");
  note(`${entries} entries were in hand`);
}

/** Accepted messages that somebody or something takes out of Redis: what is gone is not gone in silence. */
export const losses: readonly Fault[] = [
  {
    id: "F23",
    title: "redis: stream and group deleted while consumers are behind",
    lossy: true,
    inject: lose(async (rig) => void (await redisCli(rig, "DEL", TELEMETRY))),
  },
  {
    id: "F24",
    title: "redis: XTRIM by hand overtakes the consumers",
    lossy: true,
    inject: lose(async (rig) => void (await redisCli(rig, "XTRIM", TELEMETRY, "MAXLEN", "1"))),
  },
  {
    id: "F27",
    title: "redis: failover to a lagging replica",
    rig: "replica",
    lossy: true,
    inject: failOver,
  },
  {
    id: "F32",
    title: "redis: consumer removed by hand while it has pending entries",
    says: /taken away/,
    inject: removeConsumer,
  },
];
