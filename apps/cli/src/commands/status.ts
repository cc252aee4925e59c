import Table from "cli-table3";
import { Command } from "commander";
import { pc } from "../colours.ts";
import { CommandError } from "../command-error.ts";
import { resolveDataDir } from "../environment.ts";
import { findHolder } from "../lock.ts";
import { findParked } from "../parked.ts";
import { askReady } from "../ready.ts";
import { findState, type State } from "../state.ts";
import { withoutSecrets } from "../up/welcome.ts";

const EXAMPLES = `
Examples:
  $ ./sluice status
  $ ./sluice status --json | jq .ready
  $ psql "$(./sluice status --json | jq -r .postgresUrl)"

parked: messages that were moved from the bus into PostgreSQL because their group is far behind; they are written from
there when it is back.
--json carries the credentials of the private servers. Exit code 1 while not everything is ready.`;

interface ServiceStatus {
  name: string;
  ready: boolean;
  pid: number | null;
  restarts: number;
  opsUrl: string;
  failing: string[];
}

/** `sluice status`: what runs where, and whether it is ready. */
export function statusCommand(): Command {
  return new Command("status")
    .description("what runs where, and whether it is ready")
    .option("--json", "print one JSON object, credentials included")
    .addHelpText("after", EXAMPLES)
    .action(async (options: { json?: boolean }, command: Command) => {
      const dataDir = resolveDataDir(command.optsWithGlobals<{ dataDir?: string }>().dataDir);
      const state = findHolder(dataDir) === undefined ? undefined : findState(dataDir);
      if (state === undefined) return notRunning(dataDir, options.json === true);
      const services = await askServices(state);
      // Where no service is ready the bus may not be there either: nobody waits for it.
      const parked = services.some(({ ready }) => ready) ? await findParked(state.busUrl) : undefined;
      const ready = services.length > 0 && services.every((service) => service.ready);
      if (options.json)
        process.stdout.write(
          `${JSON.stringify({ ...jsonStatus(state, dataDir, services, ready), parked: parked ?? null }, null, 2)}\n`,
        );
      else process.stdout.write(`${textStatus(state, dataDir, services, ready)}${parkedLine(parked)}`);
      if (!ready) process.exitCode = 1;
    });
}

function notRunning(dataDir: string, json: boolean): void {
  const running = findHolder(dataDir) !== undefined;
  if (!json) {
    throw new CommandError(
      running
        ? `Sluice is still starting on ${dataDir}`
        : `Sluice does not run on ${dataDir}: start it with ./sluice up`,
    );
  }
  const nowhere = { mqttUrl: null, httpUrl: null, postgresUrl: null, redisUrl: null, influxUrl: null };
  const status = { ready: false, running, dataDir, ...nowhere, services: [], servers: [] };
  process.stdout.write(`${JSON.stringify(status, null, 2)}\n`);
  process.exitCode = 1;
}

function askServices(state: State): Promise<ServiceStatus[]> {
  return Promise.all(
    state.services.map(async ({ name, pid, restarts, opsPort }) => {
      const { ready, failing } = await askReady(state.host, opsPort);
      return { name, ready, pid, restarts, opsUrl: `http://127.0.0.1:${opsPort}`, failing };
    }),
  );
}

function jsonStatus(state: State, dataDir: string, services: readonly ServiceStatus[], ready: boolean) {
  return {
    ready,
    running: true,
    dataDir,
    pid: state.pid,
    startedAt: state.startedAt,
    mqttUrl: state.mqttUrl,
    httpUrl: state.httpUrl,
    postgresUrl: state.postgresUrl,
    redisUrl: state.redisUrl,
    influxUrl: influxUrl(state),
    influx: state.influx,
    services,
    servers: state.servers,
  };
}

/** With credentials in it, as the other two have them. */
function influxUrl({ influx }: State): string | null {
  if (influx === null) return null;
  const url = new URL(influx.url);
  if (influx.username !== undefined) url.username = influx.username;
  if (influx.password !== undefined) url.password = influx.password;
  return url.href.replace(/\/$/, "");
}

function textStatus(
  state: State,
  dataDir: string,
  services: readonly ServiceStatus[],
  ready: boolean,
): string {
  const head = ["", "state", "pid", "restarts", "where"].map((title) => pc.bold(title));
  const table = new Table({ head, style: { head: [], border: [] } });
  for (const { name, ready: ok, pid, restarts, opsUrl, failing } of services) {
    table.push([
      name,
      ok ? pc.green("ready") : pc.red(`not ready: ${failing.join(", ")}`),
      pid ?? "-",
      restarts,
      opsUrl,
    ]);
  }
  for (const { name, pid, restarts, port } of state.servers) {
    table.push([
      name,
      pid === null ? pc.red("down") : pc.green("runs"),
      pid ?? "-",
      restarts,
      `127.0.0.1:${port}`,
    ]);
  }
  const places: [string, string][] = [
    ["MQTT", state.mqttUrl],
    ["HTTP", state.httpUrl],
    ["PostgreSQL", withoutSecrets(state.postgresUrl)],
    ["Redis", withoutSecrets(state.redisUrl)],
    ["InfluxDB", state.influx === null ? "-" : withoutSecrets(state.influx.url)],
    ["data", dataDir],
  ];
  const lines = places.map(([name, value]) => `${name.padEnd(11)}${value}`);
  return `${ready ? pc.green("ready") : pc.red("not ready")}\n\n${lines.join("\n")}\n\n${table.toString()}\n`;
}

function parkedLine(parked: Readonly<Record<string, number>> | undefined): string {
  if (parked === undefined) return `parked     ${pc.yellow("unknown")}\n`;
  const groups = Object.entries(parked).map(([group, messages]) => `${messages} messages for ${group}`);
  return groups.length === 0 ? "" : `parked     ${pc.yellow(groups.join(", "))}\n`;
}
