import { execFileSync } from "node:child_process";
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CommandError } from "./command-error.ts";

/** Who holds a data folder. */
export interface Holder {
  pid: number;
  /** When that process began, as the system tells it: a reused process id has another. */
  born: string;
}

/** Gives the living process that holds the folder, if any. */
export function findHolder(dataDir: string): Holder | undefined {
  const holder = readHolder(join(dataDir, "lock"));
  return holder !== undefined && birthOf(holder.pid) === holder.born ? holder : undefined;
}

/**
 * Takes the data folder for this process; what a dead process left is taken over. Returns how to give it back.
 * @throws CommandError when a living process holds it
 */
export function acquireLock(dataDir: string): () => void {
  const path = join(dataDir, "lock");
  const own = JSON.stringify({ pid: process.pid, born: birthOf(process.pid) ?? "" });
  const draft = `${path}.${process.pid}.new`;
  writeFileSync(draft, own, { mode: 0o600 });
  try {
    for (;;) {
      if (tryLink(draft, path)) return () => release(path, own);
      const holder = findHolder(dataDir);
      if (holder !== undefined) {
        throw new CommandError(
          `Sluice already runs on ${dataDir} (process ${holder.pid}): see ./sluice status, or give another --data-dir`,
        );
      }
      discardStale(path);
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

/** A link appears with its whole content or not at all. */
function tryLink(draft: string, path: string): boolean {
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Only one of several takers can move the file away; if it moved a fresh lock, it puts that back. */
function discardStale(path: string): void {
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const moved = readHolder(aside);
  if (moved !== undefined && birthOf(moved.pid) === moved.born) tryLink(aside, path);
  rmSync(aside, { force: true });
}

function release(path: string, own: string): void {
  try {
    if (readFileSync(path, "utf8") === own) rmSync(path, { force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

function readHolder(path: string): Holder | undefined {
  try {
    const holder: unknown = JSON.parse(readFileSync(path, "utf8"));
    const { pid, born } = holder as Partial<Holder>;
    return typeof pid === "number" && typeof born === "string" ? { pid, born } : undefined;
  } catch {
    return undefined;
  }
}

/** When a living process began; undefined for one that is gone or a zombie. */
function birthOf(pid: number): string | undefined {
  try {
    if (process.platform !== "linux") {
      return (
        execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" }).trim() || undefined
      );
    }
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return fields[0] === "Z" ? undefined : `${boot} ${fields[19]}`;
  } catch {
    return undefined;
  }
}
