import { spawn } from "node:child_process";
import { join } from "node:path";
import type { PublisherOptions, PublisherReport } from "../publisher.ts";

/** A publisher under way. */
export interface RunningPublisher {
  /** What it reports when it is done. */
  report: Promise<PublisherReport>;
  /** The last things that went wrong for it. */
  complaints(): string;
}

/** Runs the judge's publisher in a process of its own. */
export function runPublisher(options: PublisherOptions): RunningPublisher {
  const script = join(
    import.meta.dirname,
    `../publisher.${import.meta.filename.endsWith(".ts") ? "ts" : "js"}`,
  );
  const node = ["--conditions=source", "--import", "tsx"];
  const child = spawn(process.execPath, [...node, script, JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  let text = "";
  let complaints = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaints = (complaints + chunk.toString()).slice(-2000);
  });
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const report = new Promise<PublisherReport>((resolve, reject) => {
    child.once("close", (code) => {
      if (code === 0) resolve(JSON.parse(text) as PublisherReport);
      else reject(new Error(`the publisher ended with ${code}: ${complaints}`));
    });
  });
  return { report, complaints: () => complaints };
}
