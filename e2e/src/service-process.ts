import { spawn } from "node:child_process";
import { join } from "node:path";
import { freePort } from "@sluice/servers";
import { waitFor } from "@sluice/testkit/wait-for";

const ROOT = join(import.meta.dirname, "../..");

/** One instance of a service, as an init system would run it. */
export interface ServiceProcess {
  readonly name: string;
  readonly opsPort: number;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** Starts it again, on the same ports and under the same consumer name. */
  start(): Promise<void>;
}

/** Starts `name` with exactly this environment and resolves when it is ready. */
export async function startService(
  name: string,
  consumer: string,
  env: Readonly<Record<string, string>>,
): Promise<ServiceProcess> {
  const opsPort = await freePort();
  let child: ReturnType<typeof spawn> | undefined;
  let said = "";
  const start = async () => {
    const started = spawn(process.execPath, [join(ROOT, "services", name, "dist/main.js")], {
      env: {
        PATH: process.env.PATH,
        LOG_LEVEL: "warn",
        SLUICE_CONSUMER: consumer,
        SLUICE_OPS_PORT: `${opsPort}`,
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child = started;
    for (const stream of [started.stdout, started.stderr])
      stream.on("data", (chunk: Buffer) => {
        said = (said + chunk.toString()).slice(-4000);
      });
    await waitFor(
      async () => {
        if (started.exitCode !== null) throw new Error(`${consumer} ended with ${started.exitCode}: ${said}`);
        return (await fetch(`http://127.0.0.1:${opsPort}/ready`)).ok;
      },
      { timeoutMs: 60_000, what: `${consumer} to be ready: ${said}` },
    );
  };
  await start();
  return {
    name: consumer,
    opsPort,
    start,
    async stop() {
      const stopping = child;
      if (!stopping || stopping.exitCode !== null) return stopping?.exitCode ?? null;
      const ended = new Promise<number | null>((resolve) => stopping.once("exit", resolve));
      stopping.kill("SIGTERM");
      return ended;
    },
  };
}
