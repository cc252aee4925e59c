import { join, resolve } from "node:path";
import { getBinary } from "./find-binary.ts";
import { launch } from "./launch.ts";
import type { Server, ServerOptions } from "./server.ts";

/** Options of {@link startPrometheus}. */
export interface PrometheusOptions extends ServerOptions {
  /** Its `prometheus.yml`; files that it names are looked for beside it. */
  configFile: string;
}

/** Starts a private Prometheus that scrapes what its configuration says. */
export function startPrometheus({ configFile, ...options }: PrometheusOptions): Promise<Server> {
  const file = getBinary("prometheus", "prometheus");
  return launch(
    {
      name: "prometheus",
      url: (port) => `http://127.0.0.1:${port}`,
      prepare() {},
      command: ({ dir, port }) => ({
        file,
        args: [
          `--config.file=${resolve(configFile)}`,
          `--storage.tsdb.path=${join(dir, "data")}`,
          `--web.listen-address=127.0.0.1:${port}`,
        ],
      }),
      async ready({ port }) {
        const response = await fetch(`http://127.0.0.1:${port}/-/ready`, {
          signal: AbortSignal.timeout(2_000),
        });
        if (!response.ok) throw new Error(`/-/ready answered ${response.status}`);
      },
    },
    options,
  );
}
