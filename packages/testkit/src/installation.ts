import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { createFleet, openDb } from "@sluice/db";
import { waitFor } from "./wait-for.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const run = promisify(execFile);

/** What `sluice status --json` prints. */
export interface InstallationStatus {
  ready: boolean;
  mqttUrl: string;
  httpUrl: string;
  services: { name: string; ready: boolean; pid: number }[];
  servers: { name: string; pid: number }[];
  parked: Record<string, number> | null;
}

/** Where the servers of an installation are, with credentials. */
export interface InstallationUrls {
  postgresUrl: string;
  redisUrl: string;
  influx: { url: string; username?: string; password?: string; bucket: string } | null;
}

/** Options of {@link startInstallation}. */
export interface InstallationOptions {
  /** Services to run; all of them by default. */
  services?: readonly string[];
  env?: Record<string, string>;
  /** How long it may take until every service is ready; a minute by default. */
  readyTimeoutMs?: number;
  /** Keep using this folder; by default a fresh temporary one, removed by `stop`. */
  dataDir?: string;
}

/** A whole Sluice of its own, started the way a user starts it: `./sluice up` in a data folder. */
export interface Installation {
  readonly dataDir: string;
  /** The `sluice up` process. */
  readonly supervisor: ChildProcess;
  /** URLs with their secrets, from the data folder's state. */
  urls(): InstallationUrls;
  /** Runs a command of the CLI on this installation and gives its standard output. */
  sluice(...args: string[]): Promise<string>;
  /** `sluice status --json`, whatever its exit code. */
  status(): Promise<InstallationStatus | undefined>;
  /** Sends a signal to the present process of a service or server. */
  kill(name: string, signal: NodeJS.Signals): Promise<void>;
  /** Resolves once every service is ready. */
  untilReady(timeoutMs?: number): Promise<InstallationStatus>;
  /** A credential that may speak for all of `devices`. */
  createFleet(username: string, devices: readonly string[]): Promise<{ username: string; password: string }>;
  /** The key of the installation's device secrets. */
  pepper(): string;
  /** What the supervisor has printed. */
  output(): string;
  /** Resolves with the first match in it, as soon as there is one: the welcome comes after the services are ready. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
  /** Stops it with SIGTERM as Ctrl-C would, and resolves with its exit code. */
  stop(): Promise<number | null>;
}

/** Starts an installation on free ports and resolves once it is ready. */
export async function startInstallation(options: InstallationOptions = {}): Promise<Installation> {
  const own = options.dataDir === undefined;
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), "sluice e2e-"));
  const args = ["up", "--data-dir", dataDir, "--no-tty", "--yes", "--mqtt-port", "0", "--http-port", "0"];
  if (options.services) args.push("--services", options.services.join(","));
  const supervisor = spawn(join(ROOT, "sluice"), args, {
    cwd: ROOT,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [supervisor.stdout, supervisor.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-1_000_000);
    });
  }
  const sluice = async (...command: string[]) => {
    const options = { cwd: ROOT, maxBuffer: 1 << 26 };
    try {
      return (await run(join(ROOT, "sluice"), [...command, "--data-dir", dataDir], options)).stdout;
    } catch (error) {
      if (error instanceof Error && "stdout" in error) error.message += `\n${error.stdout}`;
      throw error;
    }
  };
  const status = async () => {
    const printed = await sluice("status", "--json").catch(
      (error: { stdout?: string }) => error.stdout ?? "",
    );
    return printed.startsWith("{") ? (JSON.parse(printed) as InstallationStatus) : undefined;
  };
  const untilReady = (timeoutMs = 110_000) =>
    waitFor(
      async () => {
        if (supervisor.exitCode !== null)
          throw new Error(`sluice up ended with ${supervisor.exitCode}:\n${text.slice(-4000)}`);
        const now = await status();
        return now?.ready ? now : undefined;
      },
      { timeoutMs, what: "every service to be ready" },
    );
  const read = (file: string) => JSON.parse(readFileSync(join(dataDir, file), "utf8"));
  const urls = () => read("state.json") as InstallationUrls;
  const pepper = () => (read("secrets.json") as { pepper: string }).pepper;
  const installation: Installation = {
    dataDir,
    supervisor,
    sluice,
    status,
    untilReady,
    urls,
    kill: async (name, signal) => {
      const now = await status();
      const found = [...(now?.services ?? []), ...(now?.servers ?? [])].find((one) => one.name === name);
      if (!found) throw new Error(`nothing called ${name} runs`);
      process.kill(found.pid, signal);
    },
    pepper,
    createFleet: async (username, devices) => {
      const db = await openDb(urls().postgresUrl, { max: 1 });
      try {
        return await createFleet(db, pepper(), { username, devices, type: "test", overlapMs: 0 });
      } finally {
        await db.close();
      }
    },
    output: () => text,
    printed: (pattern) => waitFor(() => pattern.exec(text), { what: `the supervisor to print ${pattern}` }),
    stop: async () => {
      if (supervisor.exitCode === null && supervisor.signalCode === null) {
        const ended = new Promise((done) => supervisor.once("exit", done));
        supervisor.kill("SIGTERM");
        await ended;
      }
      if (own) rmSync(dataDir, { recursive: true, force: true });
      return supervisor.exitCode;
    },
  };
  try {
    await untilReady(options.readyTimeoutMs);
  } catch (error) {
    await installation.stop();
    throw error;
  }
  return installation;
}
