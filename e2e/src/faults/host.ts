import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { whyNoDisks } from "./disk.ts";
import type { Fault, Injection } from "./fault.ts";
import { pidOf, pidsOf } from "./rig.ts";

const CGROUPS = "/sys/fs/cgroup";

/** Puts the services into a control group of their own until the fault ends. */
const limit =
  (
    controller: "cpu" | "memory",
    settings: (injection: Injection) => Record<string, string>,
    names: string[],
  ) =>
  async (injection: Injection) => {
    const { rig, undo, loadSeconds, sleep } = injection;
    const group = join(CGROUPS, controller, `sluice-fault-${process.pid}`);
    mkdirSync(group);
    const pids = names.map((name) => pidOf(rig, name));
    undo(async () => {
      for (const pid of pids) move(join(CGROUPS, controller), pid);
      for (let i = 0; i < 50; i++) {
        try {
          return rmdirSync(group);
        } catch {
          await sleep(100);
        }
      }
    });
    for (const [file, value] of Object.entries(settings(injection))) writeFileSync(join(group, file), value);
    for (const pid of pids) move(group, pid);
    await sleep(loadSeconds * 700);
  };

function move(group: string, pid: number): void {
  try {
    writeFileSync(join(group, "cgroup.procs"), String(pid));
  } catch {
    // it has ended meanwhile
  }
}

function whyNoCgroup(controller: string): string | undefined {
  const group = join(CGROUPS, controller, `sluice-probe-${process.pid}`);
  try {
    if (!existsSync(join(CGROUPS, controller, "tasks"))) throw new Error("no cgroup v1 hierarchy");
    mkdirSync(group);
    rmdirSync(group);
    return undefined;
  } catch (error) {
    return `control groups cannot be made (${String(error).slice(0, 80)})`;
  }
}

/** The gateway may open three files more than it has; then a hundred clients come. */
async function fewFiles({ rig, undo, sleep, expect }: Injection): Promise<void> {
  const pid = pidOf(rig, "ingest-gateway");
  const open = readdirSync(`/proc/${pid}/fd`).length;
  const set = (soft: number) => spawnSync("prlimit", ["--pid", String(pid), `--nofile=${soft}:`]);
  const sockets: Socket[] = [];
  undo(() => {
    set(1024);
    for (const socket of sockets) socket.destroy();
  });
  set(open + 3);
  for (let i = 0; i < 100; i++) {
    const socket = createConnection({ port: rig.proxies.mqtt.port, host: "127.0.0.1" });
    socket.on("error", () => {});
    sockets.push(socket);
  }
  await sleep(4000);
  expect("O4", pidOf(rig, "ingest-gateway") === pid, "the gateway has ended");
}

/** A log disk without space and without inodes: nothing else may notice. */
async function fullLog({ rig, undo, sleep, loadSeconds, expect }: Injection): Promise<void> {
  const logs = rig.disks?.logs;
  if (!logs) throw new Error("this rig has no log disk");
  undo(() => logs.free());
  logs.fill(0);
  const before = pidsOf(rig);
  await sleep(loadSeconds * 500);
  rig.proxies.redis.cutAll();
  await sleep(loadSeconds * 200);
  expect("O4", pidsOf(rig) === before, "a process has ended");
}

/** Much comes while Redis does not answer, with little heap. */
async function littleHeap({ rig, undo, sleep }: Injection): Promise<void> {
  undo(() => rig.proxies.redis.resume());
  for (let i = 0; i < 2; i++) {
    await sleep(500);
    rig.proxies.redis.pause();
    await sleep(2500);
    rig.proxies.redis.resume();
  }
}

/** Too little of what the machine has. */
export const host: readonly Fault[] = [
  {
    id: "F45-cpu",
    title: "host: services may use a tenth of a processor",
    inject: limit("cpu", () => ({ "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "10000" }), [
      "ingest-gateway",
      "stream-worker",
      "influx-writer",
    ]),
    load: { rate: 50 },
    whyNot: () => whyNoCgroup("cpu"),
  },
  {
    id: "F45-memory",
    title: "host: the worker is killed for want of memory",
    inject: limit("memory", () => ({ "memory.limit_in_bytes": "8m" }), ["stream-worker"]),
    whyNot: () => whyNoCgroup("memory"),
  },
  {
    id: "F45-files",
    title: "host: the gateway has no file descriptors left",
    inject: fewFiles,
    whyNot: () => (spawnSync("prlimit", ["--version"]).status === 0 ? undefined : "prlimit is missing"),
  },
  {
    id: "F45-heap",
    title: "host: 64 MB of heap for each process, Redis stalls, thousands of messages come",
    rig: "heap",
    inject: littleHeap,
    load: { rate: 2000, devices: 10 },
  },
  {
    id: "F45-log",
    title: "host: log disk without space and inodes",
    rig: "disks",
    inject: fullLog,
    whyNot: whyNoDisks,
  },
];
