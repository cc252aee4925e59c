import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { findBinary } from "./find-binary.ts";

/** A program to run so that it cannot outlive us. */
export interface BoundCommand {
  file: string;
  args: string[];
  /** User to become, when we are root and the program refuses root. */
  user?: string | undefined;
  /** What it gets when we die without a word. Default SIGKILL. */
  deathSignal?: "SIGKILL" | "SIGQUIT" | "SIGTERM";
}

/**
 * Spawns a program in its own session (a terminal's Ctrl-C does not reach it) that is signalled when
 * this process dies, even by `kill -9`: through the kernel where `setpriv` can ask for it, through a
 * watching shell elsewhere.
 */
export function spawnBound(command: BoundCommand, options: SpawnOptions): ChildProcess {
  const detached = { ...options, detached: true };
  const signal = (command.deathSignal ?? "SIGKILL").slice(3);
  const setpriv = findSetpriv();
  if (setpriv !== undefined) {
    const identity =
      command.user === undefined
        ? []
        : [`--reuid=${command.user}`, `--regid=${command.user}`, "--init-groups"];
    const args = [...identity, "--pdeathsig", signal, "--", command.file, ...command.args];
    return spawn(setpriv, args, detached);
  }
  if (command.user !== undefined) throw new Error("setpriv (package util-linux) is needed to leave root");
  const child = spawn(command.file, command.args, detached);
  watch(child, signal);
  return child;
}

let setprivPath: string | false | undefined;

function findSetpriv(): string | undefined {
  if (setprivPath === undefined) {
    const path = findBinary("setpriv");
    const works = path !== undefined && spawnSync(path, ["--pdeathsig", "KILL", "--", "true"]).status === 0;
    setprivPath = works ? path : false;
  }
  return setprivPath === false ? undefined : setprivPath;
}

/** The shell's input ends when we die; while the child lives it then signals it. */
function watch(child: ChildProcess, signal: string): void {
  if (child.pid === undefined) return;
  const script = 'read -r _; kill -"$1" "$2"';
  const guard = spawn("/bin/sh", ["-c", script, "sh", signal, String(child.pid)], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  guard.unref();
  child.once("exit", () => guard.kill("SIGKILL"));
}
