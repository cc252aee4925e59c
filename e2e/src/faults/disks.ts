import { spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { Server } from "@sluice/servers";
import { waitFor } from "@sluice/testkit/wait-for";
import { type Disk, whyNoDisks } from "./disk.ts";
import type { Fault, Injection } from "./fault.ts";
import { type Rig, signalService } from "./rig.ts";
import { redisCli } from "./servers.ts";

const WORKERS = ["stream-worker", "influx-writer"];

/** The process and its children. */
function familyOf(pid: number): number[] {
  const children = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "utf8");
        return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === pid;
      } catch {
        return false;
      }
    })
    .map(Number);
  return [pid, ...children];
}

function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // it has ended meanwhile
    }
  }
}

function getDisks(rig: Rig): NonNullable<Rig["disks"]> {
  if (!rig.disks) throw new Error("this rig has no disks of its own");
  return rig.disks;
}

/** Stops all processes of a server, takes what is on the disk and nothing else, and starts it on that. */
async function cutPower(server: Server, disk: Disk, downMs: (ms: number) => Promise<void>): Promise<void> {
  const pids = familyOf(server.pid ?? 0);
  signalAll(pids, "SIGSTOP");
  await disk.cutPower(async () => {
    signalAll(pids, "SIGKILL");
    await server.kill("SIGKILL");
  });
  await downMs(2500);
  await server.restart();
}

/** The power fails while Redis alone has what was acknowledged. */
const cutRedis = (fsync: "always" | "everysec") => async (injection: Injection) => {
  const { rig, sleep, random, undo } = injection;
  undo(async () => {
    for (const name of WORKERS) signalService(rig, name, "SIGCONT");
    if (rig.redis.pid === undefined) await rig.redis.restart();
  });
  await redisCli(rig, "CONFIG", "SET", "appendfsync", fsync);
  await sleep(random(500, 1500));
  for (const name of WORKERS) signalService(rig, name, "SIGSTOP");
  await sleep(random(800, 2000));
  await cutPower(rig.redis, getDisks(rig).redis, sleep);
};

async function cutPostgres({ rig, sleep, random, undo }: Injection): Promise<void> {
  undo(() => (rig.postgres.pid === undefined ? rig.postgres.restart() : undefined));
  await sleep(random(500, 3000));
  await cutPower(rig.postgres, getDisks(rig).postgres, sleep);
}

/** Fills a disk, keeps starting the server that this ends, gives the space back. */
const fill =
  (name: "redis" | "postgres") =>
  async ({ rig, sleep, random, undo, note }: Injection) => {
    const disk = getDisks(rig)[name];
    const server = rig[name];
    let starts = 0;
    let starting: Promise<void> | undefined;
    const revive = (): Promise<void> => {
      if (server.pid !== undefined && !starting) return Promise.resolve();
      if (!starting) {
        starts++;
        starting = server
          .restart()
          .catch(() => {})
          .finally(() => {
            starting = undefined;
          });
      }
      return starting;
    };
    undo(async () => {
      disk.free();
      // One that met the full disk a moment before may still be about to end.
      const stays = async () => {
        await revive();
        const { pid } = server;
        await sleep(1000);
        return pid !== undefined && server.pid === pid;
      };
      await waitFor(stays, { timeoutMs: 20_000, what: name });
    });
    await sleep(random(500, 1500));
    disk.fill(Math.round(random(0, 65_536)));
    for (const end = performance.now() + 6000; performance.now() < end; await sleep(500)) {
      if (server.pid === undefined) await Promise.race([revive(), sleep(1500)]);
    }
    note(`${name} was started ${starts} times on the full disk`);
  };

/** From now on every fsync of Redis fails. */
async function failFsync({ rig, sleep, random, undo, expect }: Injection): Promise<void> {
  undo(() => (rig.redis.pid === undefined ? rig.redis.restart() : undefined));
  await sleep(random(500, 1500));
  const inject = `inject=fdatasync,fsync:error=EIO:when=${Math.round(random(1, 20))}+`;
  const strace = spawn("strace", ["-f", "-p", String(rig.redis.pid), "-e", inject, "-o", "/dev/null"], {
    stdio: "ignore",
  });
  undo(() => strace.kill("SIGKILL"));
  await waitFor(() => rig.redis.pid === undefined, { timeoutMs: 8000, what: "the end of Redis" }).catch(
    () => {},
  );
  expect("O1", rig.redis.pid === undefined, "Redis goes on although fsync fails");
  await sleep(2000);
}

const whyNoStrace = () =>
  spawnSync("strace", ["-e", "trace=none", "true"]).status === 0
    ? undefined
    : "strace is missing or may not trace";

/** Disks that are full, fail, or lose their power. */
export const disks: readonly Fault[] = [
  {
    id: "F18",
    title: "redis: power cut, appendfsync always",
    rig: "disks",
    names: "redis",
    inject: cutRedis("always"),
    whyNot: whyNoDisks,
  },
  {
    id: "F18-everysec",
    title: "redis: power cut with appendfsync everysec, which is documented to lose up to two seconds",
    rig: "disks",
    names: "redis",
    lossy: true,
    inject: cutRedis("everysec"),
    whyNot: whyNoDisks,
  },
  {
    id: "F22",
    title: "redis: disk full under the append-only file",
    rig: "disks",
    names: "redis",
    inject: fill("redis"),
    whyNot: whyNoDisks,
  },
  {
    id: "F26",
    title: "redis: fsync returns EIO",
    names: "redis",
    inject: failFsync,
    whyNot: whyNoStrace,
  },
  {
    id: "F36",
    title: "postgres: power cut",
    rig: "disks",
    names: "postgres",
    inject: cutPostgres,
    whyNot: whyNoDisks,
  },
  {
    id: "F40",
    title: "postgres: disk full",
    rig: "disks",
    names: "postgres-writes",
    says: /No space left|53100|postgres/i,
    inject: fill("postgres"),
    whyNot: whyNoDisks,
  },
];
