import { spawn } from "node:child_process";
import { join } from "node:path";
import type { PublisherOptions, PublisherReport } from "../publisher.ts";

/** Runs the judge's publisher in a process of its own. */
export function runPublisher(options: PublisherOptions): Promise<PublisherReport> {
  const script = join(
    import.meta.dirname,
    `../publisher.${import.meta.filename.endsWith(".ts") ? "ts" : "js"}`,
  );
  const node = ["--conditions=source", "--import", "tsx"];
  const child = spawn(process.execPath, [...node, script, JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.once("close", (code) => {
      if (code === 0) resolve(JSON.parse(text) as PublisherReport);
      else reject(new Error(`the publisher ended with ${code}`));
    });
  });
}
