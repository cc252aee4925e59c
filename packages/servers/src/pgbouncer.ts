import { chownSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { askPort } from "./ask-port.ts";
import { getBinary } from "./find-binary.ts";
import { launch } from "./launch.ts";
import type { Server, ServerOptions } from "./server.ts";
import { getUser, isRoot } from "./user.ts";

/** What a private pgbouncer stands before. */
export interface PgbouncerOptions extends ServerOptions {
  /** The database's own url; whoever connects is its user. */
  target: string;
  /** Connections to the server; clients may be many more. */
  poolSize?: number | undefined;
}

/** Starts a private pgbouncer in transaction mode; `url` is the target's with its address. Like PostgreSQL it refuses root. */
export function startPgbouncer(options: PgbouncerOptions): Promise<Server> {
  const file = getBinary("pgbouncer", "pgbouncer");
  const owner = isRoot() ? getUser("postgres") : undefined;
  const target = new URL(options.target);
  return launch(
    {
      name: "pgbouncer",
      url: (port) => {
        const url = new URL(options.target);
        url.host = `127.0.0.1:${port}`;
        return url.href;
      },
      prepare({ dir, port }) {
        const path = join(dir, "pgbouncer.ini");
        writeFileSync(path, configuration(target, port, options.poolSize ?? 5), { mode: 0o600 });
        if (owner === undefined) return;
        for (const one of [dir, path]) chownSync(one, owner.uid, owner.gid);
      },
      command: ({ dir }) => ({
        file,
        // Another user cannot pass through closed parents, but through an open descriptor it can.
        args: [owner === undefined ? join(dir, "pgbouncer.ini") : "/proc/self/fd/3/pgbouncer.ini"],
        user: owner?.name,
        openDir: owner === undefined ? undefined : dir,
      }),
      async ready({ port }) {
        // An SSL request is answered with one letter by whoever speaks PostgreSQL.
        const reply = await askPort(port, Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
        if (!/^[NS]/.test(reply)) throw new Error(reply);
      },
      stopSignal: "SIGTERM",
    },
    options,
  );
}

function configuration(target: URL, port: number, poolSize: number): string {
  const password = decodeURIComponent(target.password).replaceAll("'", "''");
  return `[databases]
* = host=${target.hostname} port=${target.port} user=${decodeURIComponent(target.username)} password='${password}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = 500
server_reset_query =
ignore_startup_parameters = extra_float_digits
`;
}
