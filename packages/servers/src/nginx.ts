import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { askPort } from "./ask-port.ts";
import { getBinary } from "./find-binary.ts";
import { launch } from "./launch.ts";
import type { Server, ServerOptions } from "./server.ts";

/** Options of {@link startNginx}. */
export interface NginxOptions extends ServerOptions {
  /** A whole nginx.conf that listens on the port. */
  configuration(port: number): string;
}

/** Starts a private nginx. It keeps what it has to put down in its folder, whoever runs it. */
export function startNginx({ configuration, ...options }: NginxOptions): Promise<Server> {
  const file = getBinary("nginx", "nginx");
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return launch(
    {
      name: "nginx",
      url: (port) => `https://127.0.0.1:${port}`,
      prepare({ dir, port }) {
        const kept = folders.map((name) => `${name}_temp_path "${dir}/${name}";`);
        const text = configuration(port).replace(
          /^http \{/m,
          ["http {", "access_log off;", ...kept].join(" "),
        );
        writeFileSync(join(dir, "nginx.conf"), text, { mode: 0o600 });
      },
      command: ({ dir }) => ({
        file,
        args: ["-c", join(dir, "nginx.conf"), "-e", "stderr", "-g", `daemon off; pid "${dir}/nginx.pid";`],
        deathSignal: "SIGTERM",
      }),
      ready: ({ port }) => askPort(port, Buffer.from("GET / HTTP/1.0\r\n\r\n")),
      stopSignal: "SIGQUIT",
    },
    options,
  );
}
