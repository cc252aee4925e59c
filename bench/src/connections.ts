import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { Progress } from "./e2e.ts";
import type { HoldOptions, HoldReport } from "./hold.ts";
import { ownScript } from "./own-script.ts";
import { readProcessMemory } from "./process-cost.ts";
import { openSystem, type System } from "./system.ts";

/** What connected devices that say nothing cost the gateway. */
export interface ConnectionsReport {
  connected: number;
  /** From the first connect to the last CONNACK, all of them at once. */
  seconds: number;
  /** Resident memory of the gateway: before, when they have been idle for a while, and at most. */
  mb: { before: number; idle: number; peak: number };
  kbPerConnection: number;
}

/** Longer than collections of a process that does little are apart. */
const SETTLE_MS = 20_000;

/** Connects `connections` clients at once, by one process, and lets them be idle. */
export async function benchConnections(
  options: { connections: number },
  say: Progress,
): Promise<ConnectionsReport> {
  const system = await openSystem(["ingest-gateway"], 1, { SLUICE_SINKS: "postgres" });
  try {
    const gateway = system.status.services.find(({ name }) => name === "ingest-gateway");
    if (!gateway) throw new Error("ingest-gateway does not run");
    const before = readProcessMemory(gateway.pid);
    say(`connecting ${options.connections} clients`);
    const holder = await hold(system, options.connections);
    say(`${holder.report.connected} are connected after ${holder.report.seconds.toFixed(1)} s`);
    await delay(SETTLE_MS);
    const after = readProcessMemory(gateway.pid);
    await holder.release();
    return {
      ...holder.report,
      mb: { before: before.mb, idle: after.mb, peak: after.peakMb },
      kbPerConnection: Math.round(((after.mb - before.mb) * 1024 * 10) / options.connections) / 10,
    };
  } finally {
    await system.close();
  }
}

async function hold(system: System, connections: number) {
  const { username, password } = system.fleet;
  const options: HoldOptions = { ...system.broker, username, password, connections };
  const child = spawn(process.execPath, [...ownScript("hold"), JSON.stringify(options)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), "line"),
    exited.then(() => Promise.reject(new Error("not all clients could connect"))),
  ])) as [string];
  return {
    report: JSON.parse(line) as HoldReport,
    release: async () => {
      child.stdin.end();
      await exited;
    },
  };
}
