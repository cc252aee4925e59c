import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { migrate } from "@sluice/db";
import { freePort } from "@sluice/servers";
import { CommandError } from "../command-error.ts";
import { acquireLock } from "../lock.ts";
import { ensureSecrets } from "../secrets.ts";
import { entryOf } from "../service-list.ts";
import { findState } from "../state.ts";
import { choosePort } from "./choose-port.ts";
import { createJsonLog, createTextLog, type EventLog } from "./event-log.ts";
import { createFirstAdmin } from "./first-admin.ts";
import { createFirstDevice } from "./first-device.ts";
import { type RunningInstallation, runInstallation } from "./installation.ts";
import { createScreen, type Screen } from "./screen.ts";
import { startServers } from "./server-set.ts";
import { showStatusLines } from "./status-lines.ts";
import type { UpConfig } from "./up-config.ts";
import { welcome } from "./welcome.ts";

/** Starts everything, stays until told to stop, stops everything in order. */
export async function runUp(config: UpConfig): Promise<void> {
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  chmodSync(config.dataDir, 0o700);
  const screen = createScreen(
    (text) => void process.stdout.write(text),
    () => process.stdout.columns ?? 80,
  );
  // A terminal that is gone must not take the installation with it.
  process.stdout.removeAllListeners("error").on("error", () => {});
  const log = config.screen ? createTextLog(screen.print) : createJsonLog(screen.print);
  const release = acquireLock(config.dataDir);
  requireBuilt(config);
  const stop = listenForStop(log);
  let running: RunningInstallation | undefined;
  try {
    running = await start(config, log, stop, screen);
    if (running === undefined) return;
    const { currentState } = running;
    if (config.screen) await showStatusLines(screen, currentState, stop.signal);
    else await stop.asked;
  } finally {
    stop.onForce(() => running?.kill());
    await running?.stop();
    release();
    log.info({}, "everything is stopped");
    stop.close();
  }
}

/** Resolves with what runs; undefined if it was told to stop meanwhile, then nothing runs. */
async function start(
  config: UpConfig,
  log: EventLog,
  stop: StopRequest,
  screen: Screen,
): Promise<RunningInstallation | undefined> {
  const { dataDir, variables } = config;
  const secrets = ensureSecrets(dataDir);
  const pepper = variables.SLUICE_PEPPER ?? secrets.pepper;
  const last = findState(dataDir);
  const host = variables.SLUICE_HOST;
  const ports = {
    mqttPort: await choosePort({
      flag: "--mqtt-port",
      host,
      asked: config.mqttPort,
      last: last?.mqttPort,
      usual: 1883,
    }),
    httpPort: await choosePort({
      flag: "--http-port",
      host,
      asked: config.httpPort,
      last: last?.httpPort,
      usual: 3001,
    }),
    gatewayPort: await freePort(),
  };
  const servers = await startServers(config, secrets, last, log);
  let running: RunningInstallation | undefined;
  try {
    if (stop.signal.aborted) return undefined;
    log.info({}, "migrating the database");
    await migrate(servers.postgresUrl, { log });
    const { private: _, ...addresses } = servers;
    const installation = { config, servers: addresses, secrets, pepper, ...ports };
    const onServiceLine = (line: string) => {
      if (!config.screen || /"level":"(error|fatal)"/.test(line)) screen.print(`${line}\n`);
    };
    running = await runInstallation(installation, servers, last, {
      log,
      logDir: join(dataDir, "logs"),
      onServiceLine,
    });
    await Promise.race([running.untilReady(), stop.asked]);
    if (stop.signal.aborted) return running;
    const device = await createFirstDevice(dataDir, servers.postgresUrl, secrets, pepper);
    const admin = config.services.some(({ name }) => name === "api")
      ? await createFirstAdmin(dataDir, servers.postgresUrl)
      : undefined;
    screen.print(welcome(running.currentState(), dataDir, device, admin));
    return running;
  } catch (error) {
    if (running !== undefined) await running.stop();
    throw error;
  } finally {
    if (running === undefined) await Promise.all(servers.private.map((server) => server.stop()));
  }
}

function requireBuilt(config: UpConfig): void {
  const missing = config.services.find((service) => !existsSync(entryOf(service)));
  if (missing !== undefined) {
    throw new CommandError(`${missing.name} is not built (${entryOf(missing)}): run npx tsc -b`);
  }
}

// One Ctrl-C under npm comes twice: from the terminal and from npm.
const ECHO_MS = 1_000;

interface StopRequest {
  signal: AbortSignal;
  asked: Promise<void>;
  /** What a second request does. */
  onForce(force: () => void): void;
  close(): void;
}

/** SIGINT, SIGTERM and SIGHUP ask for an orderly stop; a second one ends everything at once. */
function listenForStop(log: EventLog): StopRequest {
  const controller = new AbortController();
  let force: (() => void) | undefined;
  let askedAtMs = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    if (!controller.signal.aborted) {
      askedAtMs = performance.now();
      log.info({ signal }, "stopping; once more to end everything at once");
      controller.abort();
    } else if (signal !== "SIGHUP" && performance.now() - askedAtMs > ECHO_MS) {
      force?.();
    }
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, onSignal);
  return {
    signal: controller.signal,
    asked: new Promise((resolve) =>
      controller.signal.addEventListener("abort", () => resolve(), { once: true }),
    ),
    onForce(action) {
      force = action;
    },
    close() {
      for (const signal of signals) process.removeListener(signal, onSignal);
    },
  };
}
