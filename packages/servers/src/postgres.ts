import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { askPort } from "./ask-port.ts";
import { getBinary } from "./find-binary.ts";
import { launch, serverEnvironment } from "./launch.ts";
import { endStalePostmaster } from "./postmaster.ts";
import type { Server, ServerOptions } from "./server.ts";
import { getUser, isRoot, type SystemUser } from "./user.ts";

/** How a private PostgreSQL is set up. */
export interface PostgresOptions extends ServerOptions {
  /** Of the superuser `postgres`, fixed at the first start of a directory. Default: a generated one. */
  password?: string | undefined;
  /** A database to make at the first start and to name in the url. Default: `postgres`. */
  database?: string | undefined;
  /** Settings for this start, as in postgresql.conf: `{ max_connections: "200" }`. */
  settings?: Readonly<Record<string, string>> | undefined;
}

const HBA = `# Loopback with a password, nothing else.
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
`;

/**
 * Starts a private PostgreSQL: TCP on loopback with SCRAM passwords, no Unix socket (their paths may
 * not exceed 107 bytes). As root it runs as the system user `postgres`, in a directory of any parents.
 */
export function startPostgres(options: PostgresOptions = {}): Promise<Server> {
  const file = getBinary("postgres", "postgresql");
  const initdb = join(dirname(file), "initdb");
  const owner = isRoot() ? getUser("postgres") : undefined;
  const password = options.password ?? randomBytes(16).toString("hex");
  const database = options.database ?? "postgres";
  const sync = options.settings?.fsync !== "off";
  const setup = { initdb, postgres: file, owner, password, database, sync };
  return launch(
    {
      name: "postgres",
      url: (port) => `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`,
      async prepare({ dir }) {
        await endStalePostmaster(join(dir, "data"));
        initialise(join(dir, "data"), setup);
      },
      command: ({ dir, port }) => ({
        file,
        args: ["-D", dataPath(join(dir, "data"), owner), ...settingArguments(options.settings ?? {}, port)],
        user: owner?.name,
        openDir: owner === undefined ? undefined : join(dir, "data"),
        deathSignal: "SIGQUIT",
      }),
      async ready({ port }) {
        const reply = await askPort(port, startupMessage("postgres", database));
        if (!reply.startsWith("R")) throw new Error(reply.replace(/[^\x20-\x7e]+/g, " ").trim());
      },
      stopSignal: "SIGINT",
      stopTimeoutMs: 30_000,
      readyTimeoutMs: 120_000,
    },
    options,
  );
}

interface Setup {
  initdb: string;
  postgres: string;
  owner: SystemUser | undefined;
  password: string;
  database: string;
  /** Whether the new directory is synced to disk. */
  sync: boolean;
}

/** Makes the data directory beside its place and moves it there when complete, so a cut leaves no half. */
function initialise(data: string, setup: Setup): void {
  if (existsSync(data)) return;
  const fresh = `${data}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true, mode: 0o700 });
  if (setup.owner !== undefined) chownSync(fresh, setup.owner.uid, setup.owner.gid);
  const path = dataPath(fresh, setup.owner);
  const locale = ["--encoding=UTF8", "--locale=C", ...(setup.sync ? [] : ["--no-sync"])];
  run(setup, fresh, setup.initdb, [
    "-D",
    path,
    "-U",
    "postgres",
    "--auth=trust",
    "--no-instructions",
    ...locale,
  ]);
  const sql = [`ALTER ROLE postgres PASSWORD ${literal(setup.password)};`];
  if (setup.database !== "postgres") sql.push(`CREATE DATABASE ${identifier(setup.database)};`);
  run(setup, fresh, setup.postgres, ["--single", "-D", path, "postgres"], `${sql.join("\n")}\n`);
  writeFileSync(join(fresh, "pg_hba.conf"), HBA);
  renameSync(fresh, data);
}

/**
 * Another user cannot pass through parents that are closed to it (`/root`, a `mktemp -d`), but through
 * an open descriptor of the directory itself it can.
 */
function dataPath(data: string, owner: SystemUser | undefined): string {
  return owner === undefined ? data : "/proc/self/fd/3";
}

function run(setup: Setup, data: string, file: string, args: string[], input = ""): void {
  const { owner } = setup;
  const identity =
    owner === undefined ? [] : [`--reuid=${owner.name}`, `--regid=${owner.name}`, "--init-groups"];
  const folder = openSync(data, "r");
  try {
    const argv = owner === undefined ? [file, ...args] : ["setpriv", ...identity, "--", file, ...args];
    const [program = file, ...rest] = argv;
    const result = spawnSync(program, rest, {
      cwd: "/",
      input,
      stdio: ["pipe", "pipe", "pipe", folder],
      env: serverEnvironment(),
      encoding: "utf8",
    });
    const said = `${result.stdout ?? ""}${result.stderr ?? ""}`;
    if (result.status !== 0 || /\b(ERROR|FATAL|PANIC):/.test(said)) {
      throw new Error(`${file} failed: ${said.trim().slice(-800) || String(result.error)}`);
    }
  } finally {
    closeSync(folder);
  }
}

function settingArguments(settings: Readonly<Record<string, string>>, port: number): string[] {
  const all = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: "",
    logging_collector: "off",
    timezone: "UTC",
    log_timezone: "UTC",
    ...settings,
  };
  return Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

/** The protocol's first message; answered by an authentication request once the server takes sessions. */
function startupMessage(user: string, database: string): Buffer {
  const body = Buffer.from(`\0\x03\0\0user\0${user}\0database\0${database}\0\0`, "latin1");
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([length, body]);
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
