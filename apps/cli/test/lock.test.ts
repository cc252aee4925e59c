import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "@jest/globals";
import { acquireLock, findHolder } from "../src/lock.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice lock "));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("lets one process hold a folder and names it to the second", () => {
  const release = acquireLock(folder);
  expect(() => acquireLock(folder)).toThrow(`already runs on ${folder} (process ${process.pid})`);
  expect(findHolder(folder)?.pid).toBe(process.pid);
  release();
  expect(findHolder(folder)).toBeUndefined();
  acquireLock(folder)();
});

it("takes over the lock of a process that was killed", async () => {
  const child = spawn("sleep", ["60"]);
  const { pid = 0 } = child;
  const born = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[19];
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  writeFileSync(join(folder, "lock"), JSON.stringify({ pid, born: `${boot} ${born}` }));
  expect(() => acquireLock(folder)).toThrow(`process ${pid}`);
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
  acquireLock(folder)();
});

it("does not believe a lock whose process id was given to another process", () => {
  writeFileSync(join(folder, "lock"), JSON.stringify({ pid: process.ppid, born: "another boot 1" }));
  expect(findHolder(folder)).toBeUndefined();
  acquireLock(folder)();
});

it("takes over a lock that is damaged", () => {
  writeFileSync(join(folder, "lock"), "{");
  acquireLock(folder)();
});
