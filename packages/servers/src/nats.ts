import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { askPort } from "./ask-port.ts";
import { getBinary } from "./find-binary.ts";
import { freePort } from "./free-port.ts";
import { launch } from "./launch.ts";
import type { Server, ServerOptions } from "./server.ts";

/** How a private NATS server is set up; JetStream is always on. */
export interface NatsOptions extends ServerOptions {
  username?: string | undefined;
  password?: string | undefined;
  /** Unique within a cluster. Default `sluice`. */
  serverName?: string | undefined;
  /** Joins others: its own route port and the route ports of all; whether clients are told of them. */
  cluster?: { port: number; peers: readonly number[]; advertise?: boolean | undefined } | undefined;
  /** Further configuration lines. */
  config?: string | undefined;
}

/** Starts a private NATS server with JetStream. */
export async function startNats(options: NatsOptions = {}): Promise<Server> {
  const file = getBinary("nats-server", "nats-server");
  const monitorPort = await freePort();
  const login = options.username === undefined ? "" : `${options.username}:${options.password ?? ""}@`;
  return launch(
    {
      name: "nats",
      url: (port) => `nats://${login}127.0.0.1:${port}`,
      prepare({ dir, port }) {
        const text = natsConfig(options, dir, port, monitorPort);
        writeFileSync(join(dir, "nats.conf"), text, { mode: 0o600 });
      },
      command: ({ dir }) => ({ file, args: ["-c", join(dir, "nats.conf")] }),
      async ready({ port }) {
        const greeting = await askPort(port, "");
        if (!greeting.startsWith("INFO ")) throw new Error(greeting);
        // Alone it is healthy when JetStream is; a member of a cluster first needs the others.
        if (options.cluster === undefined) await checkHealth(monitorPort);
      },
      readyTimeoutMs: 60_000,
    },
    options,
  );
}

async function checkHealth(port: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(2_000) });
  if (!response.ok) throw new Error(`/healthz answered ${response.status} ${await response.text()}`);
}

function natsConfig(options: NatsOptions, dir: string, port: number, monitorPort: number): string {
  const { cluster } = options;
  const lines = [
    `listen: "127.0.0.1:${port}"`,
    `http: "127.0.0.1:${monitorPort}"`,
    `server_name: ${JSON.stringify(options.serverName ?? "sluice")}`,
    `jetstream { store_dir: ${JSON.stringify(join(dir, "jetstream"))} }`,
  ];
  if (options.username !== undefined) {
    const password = JSON.stringify(options.password ?? "");
    lines.push(`authorization { user: ${JSON.stringify(options.username)}, password: ${password} }`);
  }
  if (cluster !== undefined) {
    const routes = cluster.peers.map((peer) => `"nats://127.0.0.1:${peer}"`).join(", ");
    lines.push(
      `cluster { name: "sluice", listen: "127.0.0.1:${cluster.port}", routes: [${routes}]${cluster.advertise === false ? ", no_advertise: true" : ""} }`,
    );
  }
  if (options.config !== undefined) lines.push(options.config);
  return `${lines.join("\n")}\n`;
}

/**
 * Starts a JetStream cluster of `size` members; on failure the started ones are stopped. Without `advertise` a client is
 * not told of the members that it does not know.
 */
export async function startNatsCluster(size = 3, options: { advertise?: boolean } = {}): Promise<Server[]> {
  const peers: number[] = [];
  while (peers.length < size) {
    const port = await freePort();
    if (!peers.includes(port)) peers.push(port);
  }
  const starts = peers.map((port, index) =>
    startNats({ serverName: `n${index + 1}`, cluster: { port, peers, ...options } }),
  );
  const results = await Promise.allSettled(starts);
  const members = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) {
    await Promise.all(members.map((member) => member.stop()));
    throw failed.reason;
  }
  return members;
}
