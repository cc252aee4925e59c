import { readFileSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const GRACE_MS = 10_000;

/**
 * Clears what a crash left in a private data directory: waits for a postmaster that is still ending,
 * ends one that was orphaned, and removes a lock file whose process id now belongs to somebody else.
 */
export async function endStalePostmaster(data: string): Promise<void> {
  const lockFile = join(data, "postmaster.pid");
  const pid = readPid(lockFile);
  if (pid === undefined) return;
  const deadline = performance.now() + GRACE_MS;
  while (worksIn(pid, data)) {
    if (performance.now() > deadline) process.kill(pid, "SIGKILL");
    else if (performance.now() > deadline - GRACE_MS / 2) process.kill(pid, "SIGQUIT");
    await delay(50);
  }
  rmSync(lockFile, { force: true });
}

function readPid(lockFile: string): number | undefined {
  try {
    const pid = Number(readFileSync(lockFile, "utf8").split("\n")[0]);
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** A postmaster's working directory is its data directory. */
function worksIn(pid: number, data: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(data);
  } catch {
    return false;
  }
}
