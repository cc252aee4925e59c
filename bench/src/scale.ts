import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "@sluice/servers";
import { streamKey } from "@sluice/shared-types";
import { appendBacklog } from "./drain.ts";
import { costPerMillion, type Progress } from "./e2e.ts";
import { READINGS_PER_MESSAGE } from "./payload.ts";
import { readProcessCost } from "./process-cost.ts";
import { openSystem, type System } from "./system.ts";

/** One arrangement of workers and partitions. */
export interface ScaleRun {
  workers: number;
  partitions: number;
  readingsPerSecond: number;
  /** Of all workers together, of Redis and of PostgreSQL. */
  cpuSecondsPerMillion: Record<string, number>;
  balanced: boolean;
}

const ARRANGEMENTS = [
  [1, 1],
  [2, 1],
  [4, 1],
  [1, 4],
  [2, 4],
  [4, 4],
] as const;
const ROOT = join(import.meta.dirname, "../..");

/** Stores the same backlog with each arrangement of workers and partitions, one after the other. */
export async function benchScale(
  options: { messages: number },
  say: Progress,
): Promise<{ runs: ScaleRun[] }> {
  const runs: ScaleRun[] = [];
  for (const [workers, partitions] of ARRANGEMENTS) {
    say(`${workers} workers, ${partitions} partitions`);
    const run = await runOnce(workers, partitions, options.messages);
    say(`${run.readingsPerSecond} readings/s`);
    runs.push(run);
  }
  return { runs };
}

async function runOnce(workers: number, partitions: number, messages: number): Promise<ScaleRun> {
  const env = { SLUICE_SINKS: "postgres", SLUICE_REDIS_MAXMEMORY: "4gb", SLUICE_PARTITIONS: `${partitions}` };
  const system = await openSystem(["ingest-gateway", "stream-worker"], 1000, env);
  const first = system.status.services.find(({ name }) => name === "stream-worker");
  const pids = first ? [first.pid] : [];
  try {
    for (let i = 1; i < workers; i++) pids.push(await startWorker(system, env, i));
    const streams = Array.from({ length: partitions }, (_, partition) => streamKey("telemetry", partition));
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    await appendBacklog(system.bus.publish, system.fleet.devices, messages, partitions);
    const costs = () => {
      const { redis, postgres } = system.costs();
      const cpuSeconds = pids.reduce((sum, pid) => sum + readProcessCost(pid).cpuSeconds, 0);
      const none = { cpuSeconds: 0, peakRssMb: 0 };
      return { workers: { cpuSeconds, peakRssMb: 0 }, redis: redis ?? none, postgres: postgres ?? none };
    };
    const before = costs();
    const started = performance.now();
    for (const pid of pids) process.kill(pid, "SIGCONT");
    const balanced = await untilStored(system, streams);
    const seconds = (performance.now() - started) / 1000;
    const readings = messages * READINGS_PER_MESSAGE;
    return {
      workers,
      partitions,
      readingsPerSecond: Math.round(readings / seconds),
      cpuSecondsPerMillion: costPerMillion(before, costs(), readings),
      balanced,
    };
  } finally {
    for (const pid of pids.slice(1)) process.kill(pid, "SIGKILL");
    await system.close();
  }
}

/** A further worker beside the installation's own; resolves when it is ready. */
async function startWorker(system: System, env: Record<string, string>, index: number): Promise<number> {
  const opsPort = await freePort();
  const child = spawn(process.execPath, [join(ROOT, "services/stream-worker/dist/main.js")], {
    stdio: "ignore",
    env: {
      ...{ PATH: process.env.PATH, LOG_LEVEL: "warn" },
      ...{ DATABASE_URL: system.db.url, REDIS_URL: system.redisUrl },
      ...{ SLUICE_CONSUMER: `scale-${index}`, SLUICE_OPS_PORT: `${opsPort}` },
      ...env,
    },
  });
  for (;;) {
    const ready = await fetch(`http://127.0.0.1:${opsPort}/ready`).catch(() => undefined);
    if (ready?.ok) break;
    if (child.exitCode !== null) throw new Error(`a worker ended with ${child.exitCode}`);
    await delay(50);
  }
  return child.pid ?? 0;
}

/** Resolves when nothing waits any more: whether every ledger balances. */
async function untilStored(system: System, streams: readonly string[]): Promise<boolean> {
  for (;;) {
    const groups = (await Promise.all(streams.map((stream) => system.bus.ledger(stream)))).flat();
    if (groups.every(({ pending, unread }) => pending + unread === 0))
      return groups.every(({ balanced }) => balanced);
    await delay(20);
  }
}
