import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { getBinary } from "./find-binary.ts";
import { launch } from "./launch.ts";
import type { Server, ServerOptions } from "./server.ts";

/** A user of one database, besides the administrator. */
export interface InfluxUser {
  username: string;
  password: string;
  privilege: "READ" | "WRITE" | "ALL";
}

/** How a private InfluxDB 1.x is set up. */
export interface InfluxOptions extends ServerOptions {
  /** Administrator, made at the first start of a directory. Default `admin`. */
  username?: string | undefined;
  /** Default: a generated one. */
  password?: string | undefined;
  /** A database to make sure of at every start. */
  database?: string | undefined;
  /** Users of that database, made sure of at every start. */
  users?: readonly InfluxUser[] | undefined;
  /** Off lets everybody in: for tests of clients without credentials. Default on. */
  auth?: boolean | undefined;
}

/** A private InfluxDB 1.x; `url` carries no credentials, InfluxDB clients want them apart. */
export interface InfluxServer extends Server {
  readonly username: string;
  readonly password: string;
  readonly database: string | undefined;
}

/** Starts a private InfluxDB 1.x with an administrator and, if named, a database. */
export async function startInflux(options: InfluxOptions = {}): Promise<InfluxServer> {
  const file = getBinary("influxd", "influxdb");
  const username = options.username ?? "admin";
  const password = options.password ?? randomBytes(16).toString("hex");
  const login = { username, password };
  const server = await launch(
    {
      name: "influx",
      url: (port) => `http://127.0.0.1:${port}`,
      prepare({ dir, port }) {
        writeFileSync(join(dir, "influxdb.conf"), influxConfig(dir, port, options.auth ?? true), {
          mode: 0o600,
        });
      },
      command: ({ dir }) => ({ file, args: ["-config", join(dir, "influxdb.conf")] }),
      async ready({ port }) {
        const response = await fetch(`http://127.0.0.1:${port}/ping`, { signal: AbortSignal.timeout(2_000) });
        if (response.status !== 204) throw new Error(`/ping answered ${response.status}`);
        // The first statement of an empty server is allowed without a login; later ones are refused.
        const secret = password.replaceAll("'", "\\'");
        const create = `CREATE USER "${username}" WITH PASSWORD '${secret}' WITH ALL PRIVILEGES`;
        await query(port, create, login);
        if (options.database === undefined) return;
        await query(port, `CREATE DATABASE "${options.database}"`, login);
        for (const user of options.users ?? []) {
          const { username, password, privilege } = user;
          await query(
            port,
            `CREATE USER "${username}" WITH PASSWORD '${password.replaceAll("'", "\\'")}'`,
            login,
          );
          await query(port, `GRANT ${privilege} ON "${options.database}" TO "${username}"`, login);
        }
      },
      stopTimeoutMs: 20_000,
      readyTimeoutMs: 120_000,
    },
    options,
  );
  return Object.assign(server, { username, password, database: options.database });
}

async function query(
  port: number,
  statement: string,
  login: { username: string; password: string },
): Promise<void> {
  const basic = Buffer.from(`${login.username}:${login.password}`).toString("base64");
  const response = await fetch(`http://127.0.0.1:${port}/query`, {
    method: "POST",
    headers: { authorization: `Basic ${basic}` },
    body: new URLSearchParams({ q: statement }),
    signal: AbortSignal.timeout(5_000),
  });
  const text = await response.text();
  if (!response.ok || text.includes('"error"'))
    throw new Error(`InfluxDB: ${response.status} ${text.trim()}`);
}

function influxConfig(dir: string, port: number, auth: boolean): string {
  return `reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = ${JSON.stringify(join(dir, "meta"))}
[data]
  dir = ${JSON.stringify(join(dir, "data"))}
  wal-dir = ${JSON.stringify(join(dir, "wal"))}
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:${port}"
  auth-enabled = ${auth}
  log-enabled = false
  max-body-size = 0
[logging]
  level = "warn"
  suppress-logo = true
`;
}
