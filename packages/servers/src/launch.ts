import type { ChildProcess, StdioOptions } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort, isPortFree } from "./free-port.ts";
import type { Server, ServerExit, ServerOptions } from "./server.ts";
import { type BoundCommand, spawnBound } from "./spawn-bound.ts";

/** What one kind of server adds to the common life of a process. */
export interface Launch {
  name: string;
  url(port: number): string;
  /** Writes configuration and prepares data; called before every start. */
  prepare(place: Place): Promise<void> | void;
  command(place: Place): BoundCommand & { openDir?: string | undefined };
  /** Rejects until the server serves. */
  ready(place: Place): Promise<unknown>;
  stopSignal?: NodeJS.Signals;
  readyTimeoutMs?: number;
  stopTimeoutMs?: number;
}

/** Where a server lives. */
export interface Place {
  dir: string;
  port: number;
}

const MAX_LOG_BYTES = 10 * 1024 * 1024;
const PORT_ATTEMPTS = 5;
const LIVE_SIGNALS = new Set<NodeJS.Signals>(["SIGSTOP", "SIGCONT", "SIGHUP", "SIGUSR1", "SIGUSR2"]);

/** Starts a server and resolves when it serves; on failure nothing is left running. */
export async function launch(spec: Launch, options: ServerOptions): Promise<Server> {
  const temporary = options.dir === undefined;
  const dir = resolve(options.dir ?? mkdtempSync(join(tmpdir(), `sluice-${spec.name}-`)));
  mkdirSync(dir, { recursive: true });
  for (let attempt = 1; ; attempt++) {
    const place = { dir, port: options.port ?? (await freePort()) };
    const server = createServer(spec, place, temporary);
    try {
      await server.restart();
      return server;
    } catch (error) {
      const portTaken = options.port === undefined && /in use/i.test(String(error));
      if (portTaken && attempt < PORT_ATTEMPTS) continue;
      await server.stop();
      throw error;
    }
  }
}

function createServer(spec: Launch, place: Place, temporary: boolean): Server {
  const logFile = join(place.dir, `${spec.name}.log`);
  let child: ChildProcess | undefined;
  let exit: Promise<ServerExit> = Promise.resolve({ code: 0, signal: null });

  const start = async () => {
    // Somebody else's server would answer our readiness check before ours fails to listen.
    if (!(await isPortFree(place.port))) throw new Error(`${spec.name}: port ${place.port} is in use`);
    await spec.prepare(place);
    rotate(logFile);
    const logStart = sizeOf(logFile);
    const started = spawnServer(spec.command(place), logFile);
    child = started;
    exit = ended(started).then((result) => {
      if (child === started) child = undefined;
      return result;
    });
    await untilReady(spec, place, exit, () => readFileSync(logFile, "utf8").slice(logStart));
  };
  const end = async () => {
    if (child === undefined) return;
    child.kill(spec.stopSignal ?? "SIGTERM");
    child.kill("SIGCONT");
    const gone = await within(exit, spec.stopTimeoutMs ?? 10_000);
    if (gone === undefined) child?.kill("SIGKILL");
    await exit;
  };
  return {
    name: spec.name,
    url: spec.url(place.port),
    port: place.port,
    dir: place.dir,
    logFile,
    get pid() {
      return child?.pid;
    },
    async kill(signal = "SIGKILL") {
      child?.kill(signal);
      if (!LIVE_SIGNALS.has(signal)) await exit;
    },
    async restart() {
      await end();
      await start().catch(async (error: unknown) => {
        await end();
        throw error;
      });
    },
    async stop() {
      await end();
      if (temporary) rmSync(place.dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    },
    exited: () => exit,
  };
}

/** Spawns with output appended to the log; `openDir` is handed over as file descriptor 3. */
function spawnServer(command: ReturnType<Launch["command"]>, logFile: string): ChildProcess {
  const log = openSync(logFile, "a", 0o600);
  const folder = command.openDir === undefined ? undefined : openSync(command.openDir, "r");
  try {
    const stdio: StdioOptions = ["ignore", log, log];
    if (folder !== undefined) stdio.push(folder);
    return spawnBound(command, { cwd: "/", stdio, env: serverEnvironment() });
  } finally {
    closeSync(log);
    if (folder !== undefined) closeSync(folder);
  }
}

/** Servers get no variable of ours: PGDATA or TZ of the caller's shell must not change what they do. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    LANG: "C",
    LC_ALL: "C",
    TZ: "UTC",
  };
}

function ended(child: ChildProcess): Promise<ServerExit> {
  return new Promise((settle) => {
    child.once("error", () => settle({ code: 127, signal: null }));
    child.once("exit", (code, signal) => settle({ code, signal }));
  });
}

async function untilReady(
  spec: Launch,
  place: Place,
  exit: Promise<ServerExit>,
  said: () => string,
): Promise<void> {
  const deadline = performance.now() + (spec.readyTimeoutMs ?? 30_000);
  let reason = "";
  let gone: ServerExit | undefined;
  const lives = exit.then((result) => {
    gone = result;
  });
  while (performance.now() < deadline) {
    const served = await Promise.race([attempt(() => spec.ready(place)), lives]);
    if (gone !== undefined) {
      throw new Error(
        `${spec.name} ended (${gone.signal ?? gone.code}) before it served: ${lastLines(said())}`,
      );
    }
    if (served === true) return;
    reason = String(served);
    await Promise.race([delay(20), lives]);
  }
  throw new Error(
    `${spec.name} on port ${place.port} is not ready: ${reason}; it said: ${lastLines(said())}`,
  );
}

/** True, or why not. */
async function attempt(action: () => Promise<unknown>): Promise<true | string> {
  try {
    await action();
    return true;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  const timer = new AbortController();
  const timeout = delay(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined);
  const result = await Promise.race([promise, timeout]);
  timer.abort();
  return result;
}

function lastLines(text: string): string {
  return text.trim().split("\n").slice(-5).join(" | ").slice(-800);
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function rotate(logFile: string): void {
  if (sizeOf(logFile) > MAX_LOG_BYTES) renameSync(logFile, `${logFile}.1`);
}
