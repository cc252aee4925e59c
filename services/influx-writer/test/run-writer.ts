import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { type Envelope, encodeMessage } from "@sluice/shared-types";

const ROOT = resolve(import.meta.dirname, "../../..");

/** The service as a process of its own, run from source. */
export interface WriterProcess {
  kill(signal: NodeJS.Signals): Promise<number | null>;
  output(): string;
}

/** Starts the service with `env`; it is up when its log says so. */
export async function runWriter(env: Record<string, string>): Promise<WriterProcess> {
  const child: ChildProcess = spawn(
    process.execPath,
    ["--conditions=source", "--import", "tsx", "services/influx-writer/src/main.ts"],
    { cwd: ROOT, env: { ...process.env, SLUICE_OPS_PORT: "0", ...env }, stdio: ["ignore", "pipe", "pipe"] },
  );
  let text = "";
  const exited = once(child, "exit");
  const up = new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        if (text.includes("service is up")) resolve();
      });
    }
    child.once("exit", (code) => reject(new Error(`influx-writer ended with ${code}:\n${text}`)));
  });
  await up;
  return {
    output: () => text,
    async kill(signal) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await exited;
      return child.exitCode;
    },
  };
}

/** A message as the gateway puts it on the bus. */
export function message(
  device: string,
  payload: object,
  timeUs: number,
  envelope: Partial<Envelope> = {},
): string {
  return encodeMessage(
    {
      device,
      kind: "telemetry",
      type: "temperature",
      source: "mqtt",
      receivedUs: timeUs,
      timesUs: [timeUs],
      clock: "device",
      ...envelope,
    },
    JSON.stringify(payload),
  );
}
