import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type Bus, openBus } from "@sluice/bus";
import { createApiKey, createDevice, type Db, openDb } from "@sluice/db";
import { type InstallationStatus, startInstallation } from "@sluice/testkit/installation";
import type { LoadOptions, LoadReport } from "./load.ts";
import { ownScript } from "./own-script.ts";
import { type ProcessCost, readProcessCost } from "./process-cost.ts";

const run = promisify(execFile);

/** An installation under measurement. */
export interface System {
  status: InstallationStatus;
  redisUrl: string;
  db: Db;
  bus: Bus;
  /** Cost so far of every service and server. */
  costs(): Record<string, ProcessCost>;
  /** Runs the load generator in a process of its own, against the built-in broker or the one at `brokerPort`. */
  load(
    options: Omit<LoadOptions, "host" | "port" | "username" | "password" | "devices">,
    brokerPort?: number,
  ): Promise<LoadReport>;
  /** Where the built-in broker listens. */
  broker: { host: string; port: number };
  /** Device ids the load speaks for, and the credential that owns them. */
  fleet: { devices: string[]; username: string; password: string };
  /** Registers a device and gives its HTTP key. */
  createKey(id: string): Promise<string>;
  /** Makes an API key of a program that may read everything. */
  createReadKey(): Promise<string>;
  /** Runs `./sluice <args>` against the installation; resolves with what it printed. */
  sluice(...args: string[]): Promise<string>;
  close(): Promise<void>;
}

/** Starts `services` in a temporary data folder and resolves once they are ready, with a fleet of `devices`. */
export async function openSystem(
  services: readonly string[],
  devices: number,
  env: Record<string, string> = {},
): Promise<System> {
  const installation = await startInstallation({ services, env: { LOG_LEVEL: "warn", ...env } });
  const status = await installation.untilReady();
  const { postgresUrl, redisUrl } = installation.urls();
  const db = await openDb(postgresUrl);
  const bus = await openBus(redisUrl);
  const ids = Array.from({ length: devices }, (_, i) => `bench_${String(i).padStart(4, "0")}`);
  const fleet = { devices: ids, ...(await installation.createFleet("bench", ids)) };
  const { hostname, port } = new URL(status.mqttUrl);
  const broker = { host: hostname, port: Number(port) };
  const processes = [...status.services, ...status.servers];
  return {
    status,
    redisUrl,
    db,
    bus,
    fleet,
    createKey: async (id) => (await createDevice(db, installation.pepper(), { id })).apiKey,
    createReadKey: async () =>
      (await createApiKey(db, installation.pepper(), { name: "bench", scopes: ["read"] })).key,
    sluice: installation.sluice,
    costs: () => Object.fromEntries(processes.map(({ name, pid }) => [name, readProcessCost(pid)])),
    broker,
    load: (options, brokerPort) => {
      return runLoad({ ...options, ...fleet, ...broker, port: brokerPort ?? broker.port });
    },
    close: async () => {
      await bus.close();
      await db.close();
      await installation.stop();
    },
  };
}

async function runLoad(options: LoadOptions): Promise<LoadReport> {
  try {
    const { stdout } = await run(process.execPath, [...ownScript("load"), JSON.stringify(options)], {
      maxBuffer: 1 << 24,
    });
    return JSON.parse(stdout) as LoadReport;
  } catch (error) {
    // Its own message would repeat the command, with all devices.
    const { stderr = String(error) } = error as { stderr?: string };
    throw new Error(`the load generator failed: ${stderr.slice(-1000)}`);
  }
}
