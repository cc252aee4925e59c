import { join } from "node:path";
import { getBinary } from "./find-binary.ts";
import { launch } from "./launch.ts";
import type { Server, ServerOptions } from "./server.ts";

/** Starts a private VictoriaMetrics: a real server for InfluxDB's v2 write path. */
export function startVictoriaMetrics(options: ServerOptions = {}): Promise<Server> {
  const file = getBinary("victoria-metrics", "victoria-metrics");
  return launch(
    {
      name: "victoria-metrics",
      url: (port) => `http://127.0.0.1:${port}`,
      prepare() {},
      command: ({ dir, port }) => ({
        file,
        args: [
          `-storageDataPath=${join(dir, "data")}`,
          `-httpListenAddr=127.0.0.1:${port}`,
          "-retentionPeriod=100y",
          "-memory.allowedBytes=128MB",
        ],
      }),
      async ready({ port }) {
        const response = await fetch(`http://127.0.0.1:${port}/health`, {
          signal: AbortSignal.timeout(2_000),
        });
        if (!response.ok) throw new Error(`/health answered ${response.status}`);
      },
    },
    options,
  );
}
