import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { askPort } from "./ask-port.ts";
import { getBinary } from "./find-binary.ts";
import { launch } from "./launch.ts";
import type { Server, ServerOptions } from "./server.ts";

/** Options of {@link startCaddy}. */
export interface CaddyOptions extends ServerOptions {
  /** A Caddyfile without global options, and the variables that it reads. */
  configuration: string;
  variables(port: number): Readonly<Record<string, string>>;
}

/**
 * Starts a private Caddy, whose own authority is trusted by nobody but who reads `pki/authorities/local/root.crt` of
 * its folder.
 */
export function startCaddy({ configuration, variables, ...options }: CaddyOptions): Promise<Server> {
  const file = getBinary("caddy", "caddy");
  return launch(
    {
      name: "caddy",
      url: (port) => `https://127.0.0.1:${port}`,
      prepare({ dir, port }) {
        const global = `{
	admin off
	skip_install_trust
	auto_https disable_redirects
	storage file_system "${dir}"
}
`;
        const set = Object.entries(variables(port)).map(([name, value]) => `${name}=${value}\n`);
        writeFileSync(join(dir, "Caddyfile"), global + configuration);
        writeFileSync(join(dir, "variables"), set.join(""));
      },
      command: ({ dir }) => ({
        file,
        args: [
          "run",
          "--config",
          join(dir, "Caddyfile"),
          "--adapter",
          "caddyfile",
          "--envfile",
          join(dir, "variables"),
        ],
      }),
      ready: ({ port }) => askPort(port, Buffer.from("GET / HTTP/1.0\r\n\r\n")),
      stopSignal: "SIGTERM",
    },
    options,
  );
}
