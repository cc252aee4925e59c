import { setTimeout as delay } from "node:timers/promises";
import { freePort, isPortFree } from "@sluice/servers";
import { CommandError } from "../command-error.ts";
import { askReady, urlHost } from "../ready.ts";
import { entryOf, type ServiceSpec } from "../service-list.ts";
import { type State, saveState } from "../state.ts";
import type { EventLog } from "./event-log.ts";
import { type KeptUnit, keepRunning } from "./keep-running.ts";
import type { ServerSet } from "./server-set.ts";
import { createServerUnit } from "./server-unit.ts";
import { type Installation, serviceEnvironment } from "./service-environment.ts";
import { createServiceUnit } from "./service-unit.ts";

/** Everything of one installation that runs and is kept running. */
export interface RunningInstallation {
  currentState: () => State;
  /** Resolves when every service answers ready; rejects when one refuses its configuration or takes too long. */
  untilReady(): Promise<void>;
  /** Stops the entrance, then the workers, then the servers. */
  stop(): Promise<void>;
  /** Ends everything at once. */
  kill(): void;
}

/** Where an installation keeps and tells things. */
export interface InstallationOutput {
  log: EventLog;
  logDir: string;
  onServiceLine: (line: string) => void;
}

interface KeptService {
  spec: ServiceSpec;
  opsPort: number;
  kept: KeptUnit;
}

const READY_TIMEOUT_MS = 90_000;
// A service that cannot stop in its own time ends by itself; this is for one that hangs.
const KILL_AFTER_MS = 5_000;

/** Starts the services of an installation whose servers run, and watches both. */
export async function runInstallation(
  installation: Installation,
  servers: ServerSet,
  last: State | undefined,
  output: InstallationOutput,
): Promise<RunningInstallation> {
  const { config } = installation;
  const { log } = output;
  const startedAt = new Date().toISOString();
  const keptServers: { kept: KeptUnit; port: number }[] = [];
  const services: KeptService[] = [];
  const state = () => createState(installation, startedAt, services, keptServers);
  const save = () => saveState(config.dataDir, state());
  for (const server of servers.private) {
    keptServers.push({ kept: keepRunning(createServerUnit(server), log, save), port: server.port });
  }
  for (const spec of config.services) {
    const opsPort = await chooseOpsPort(spec, last);
    const unit = createServiceUnit({
      name: spec.name,
      entry: entryOf(spec),
      env: serviceEnvironment(installation, spec, opsPort),
      stopTimeoutMs: config.variables.SLUICE_STOP_TIMEOUT + KILL_AFTER_MS,
      logDir: output.logDir,
      onLine: output.onServiceLine,
    });
    log.info({ unit: spec.name }, `starting ${spec.name}`);
    await unit.start();
    services.push({ spec, opsPort, kept: keepRunning(unit, log, save) });
  }
  save();
  return {
    currentState: state,
    untilReady: () => untilReady(config.variables.SLUICE_HOST, services, log),
    async stop() {
      const entrances = services.filter(({ spec }) => spec.entrance);
      const workers = services.filter(({ spec }) => !spec.entrance);
      for (const group of [entrances, workers, keptServers])
        await stopAll(
          group.map(({ kept }) => kept),
          log,
        );
      save();
    },
    kill() {
      for (const { kept } of [...services, ...keptServers]) kept.kill();
    },
  };
}

async function stopAll(units: readonly KeptUnit[], log: EventLog): Promise<void> {
  await Promise.all(
    units.map(async (unit) => {
      log.info({ unit: unit.name }, `stopping ${unit.name}`);
      await unit.stop();
    }),
  );
}

function createState(
  { config, servers, mqttPort, httpPort }: Installation,
  startedAt: string,
  services: readonly KeptService[],
  keptServers: readonly { kept: KeptUnit; port: number }[],
): State {
  const host = urlHost(config.variables.SLUICE_HOST);
  const unit = ({ name, pid, restarts }: KeptUnit) => ({ name, pid: pid ?? null, restarts });
  return {
    pid: process.pid,
    startedAt,
    host: config.variables.SLUICE_HOST,
    mqttPort,
    httpPort,
    mqttUrl: `mqtt://${host}:${mqttPort}`,
    httpUrl: `http://${host}:${httpPort}`,
    ...servers,
    topicRoot: config.variables.SLUICE_TOPIC_ROOT,
    services: services.map(({ kept, opsPort }) => ({ ...unit(kept), opsPort })),
    servers: keptServers.map(({ kept, port }) => ({ ...unit(kept), port })),
  };
}

async function chooseOpsPort(spec: ServiceSpec, last: State | undefined): Promise<number> {
  const port = last?.services.find((service) => service.name === spec.name)?.opsPort;
  return port !== undefined && (await isPortFree(port)) ? port : freePort();
}

async function untilReady(host: string, services: readonly KeptService[], log: EventLog): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  const waits = services.map(async ({ spec, opsPort, kept }) => {
    let refused = false;
    void kept.refused.then(() => {
      refused = true;
    });
    for (;;) {
      const { ready, failing } = await askReady(host, opsPort);
      if (ready) return log.info({ unit: spec.name, pid: kept.pid }, `${spec.name} is ready`);
      if (refused)
        throw new CommandError(`${spec.name} refuses its configuration: see what it says above`, 2);
      if (performance.now() > deadline) {
        throw new CommandError(
          `${spec.name} is not ready after ${READY_TIMEOUT_MS / 1000} s: ${failing.join(", ")}`,
        );
      }
      await delay(50);
    }
  });
  await Promise.all(waits);
}
