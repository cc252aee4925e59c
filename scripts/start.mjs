// npm start: `./sluice up`, which also stops when npm is gone.
import { readFileSync } from "node:fs";

if (process.env.npm_lifecycle_event === "start") followNpm();
// what the hydroponics system did on its own: `./sluice up` asks for it
process.env.ETL_ENABLED ??= "true";
process.argv.splice(2, 0, "up");
await import("./sluice.mjs");

/**
 * npm runs us through a shell and passes its SIGTERM to that shell only; a SIGKILL it cannot pass at all. So we look
 * whether our parents are still the same, up to npm.
 */
function followNpm() {
  const shell = process.ppid;
  const throughShell = !nameOf(shell)?.startsWith("npm");
  const npm = throughShell ? parentOf(shell) : undefined;
  setInterval(() => {
    if (process.ppid === shell && (npm === undefined || parentOf(shell) === npm)) return;
    process.kill(process.pid, "SIGTERM");
  }, 500).unref();
}

function nameOf(pid) {
  return readProcess(pid, "comm")?.trim();
}

function parentOf(pid) {
  const stat = readProcess(pid, "stat");
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[1];
}

function readProcess(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined;
  }
}
