import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { type ServerExit, spawnBound } from "@sluice/servers";
import type { Unit } from "./keep-running.ts";
import { openRotatingFile } from "./rotating-file.ts";

/**
 * A young generation that holds what is in flight, so that it dies there: half of it costs a tenth more CPU, twice as
 * much takes a process under load over 250 MB. An old one that is collected before it grows large.
 */
const NODE_FLAGS = ["--enable-source-maps", "--max-semi-space-size=32", "--max-old-space-size=512"];

/** What is needed to run a service process. */
export interface ServiceProcess {
  name: string;
  entry: string;
  env: Readonly<Record<string, string>>;
  /** How long it may take to stop before it is killed. */
  stopTimeoutMs: number;
  /** Folder of its log file. */
  logDir: string;
  /** Hears every line it writes, as JSON. */
  onLine: (line: string) => void;
}

/** A service as a unit; starting resolves once the process is spawned, `/ready` tells when it serves. */
export function createServiceUnit(service: ServiceProcess): Unit {
  let child: ChildProcess | undefined;
  let exit: Promise<ServerExit> = Promise.resolve({ code: 0, signal: null });
  return {
    name: service.name,
    get pid() {
      return child?.pid;
    },
    async start() {
      const started = spawnBound(
        { file: process.execPath, args: [...NODE_FLAGS, service.entry] },
        { env: { ...service.env }, stdio: ["ignore", "pipe", "pipe"] },
      );
      child = started;
      exit = new Promise((resolve) => {
        started.once("error", () => resolve({ code: 127, signal: null }));
        started.once("exit", (code, signal) => resolve({ code, signal }));
      });
      void exit.then(() => {
        if (child === started) child = undefined;
      });
      followOutput(started, service);
    },
    exited: () => exit,
    async stop() {
      if (child === undefined) return;
      child.kill("SIGTERM");
      child.kill("SIGCONT");
      const patience = new AbortController();
      const late = delay(service.stopTimeoutMs, "late", { signal: patience.signal }).catch(() => "gone");
      if ((await Promise.race([exit, late])) === "late") child?.kill("SIGKILL");
      patience.abort();
      await exit;
    },
    kill() {
      child?.kill("SIGKILL");
    },
  };
}

function followOutput(child: ChildProcess, service: ServiceProcess): void {
  const file = openRotatingFile(service.logDir, service.name);
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on("line", (line) => {
      if (line.trim() === "") return;
      const json = line.startsWith("{") ? line : wrap(service.name, line);
      file.write(`${json}\n`);
      service.onLine(json);
    });
  }
  child.once("close", () => file.close());
}

/** What is not a log line of ours, for example the trace of a crash. */
function wrap(service: string, line: string): string {
  return JSON.stringify({ level: "error", time: new Date().toISOString(), service, msg: line });
}
