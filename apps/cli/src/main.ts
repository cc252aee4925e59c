#!/usr/bin/env node
// The `sluice` command: arguments in, exit code out (0 done, 1 failed, 2 asked wrongly, 130 interrupted).
import { run } from "./run.ts";

// A reader that has seen enough (`| head`) is not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
process.stderr.on("error", () => {});

// A command that has to end in order listens itself; the second Ctrl-C ends that one too.
process.on("SIGINT", () => {
  if (process.listenerCount("SIGINT") === 1) process.exit(130);
});

process.exitCode = await run(process.argv.slice(2));
// Something a failed command left open must not keep it from ending.
setTimeout(() => process.exit(), 2_000).unref();
