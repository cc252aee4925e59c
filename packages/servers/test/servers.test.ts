import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "@jest/globals";
import {
  freePort,
  isPortFree,
  type Server,
  type ServerOptions,
  startInflux,
  startMosquitto,
  startNats,
  startPostgres,
  startRedis,
  startVictoriaMetrics,
} from "../src/index.ts";

const folder = mkdtempSync(join(tmpdir(), "sluice servers é "));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const starters: Record<string, (options: ServerOptions) => Promise<Server>> = {
  redis: (options) => startRedis({ ...options, password: 'a "b" c' }),
  postgres: (options) => startPostgres({ ...options, password: "it's", database: "sluice" }),
  influx: (options) => startInflux({ ...options, password: "it's", database: "telemetry" }),
  nats: startNats,
  mosquitto: startMosquitto,
  "victoria-metrics": startVictoriaMetrics,
};

const lives = (pid: number) => {
  try {
    process.kill(pid, 0);
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.[0] !== "Z";
  } catch {
    return false;
  }
};

describe.each(Object.entries(starters))("a private %s", (name, start) => {
  it("comes back on its port after kill -9, in a closed directory whose name has spaces", async () => {
    const server = await start({ dir: join(folder, name) });
    const first = server.pid;
    await server.kill("SIGKILL");
    expect(server.pid).toBeUndefined();
    expect(await isPortFree(server.port)).toBe(true);
    await server.restart();
    expect(server.pid).not.toBe(first);
    await server.stop();
    await server.stop();
    expect(await isPortFree(server.port)).toBe(true);
  });

  it("listens on loopback only", async () => {
    const server = await start({ dir: join(folder, name) });
    const hex = server.port.toString(16).toUpperCase().padStart(4, "0");
    const listeners = ["tcp", "tcp6"]
      .flatMap((table) => readFileSync(`/proc/net/${table}`, "utf8").split("\n"))
      .filter((line) => line.includes(`:${hex} `) && line.includes(" 0A "));
    expect(listeners.map((line) => line.trim().split(/\s+/)[1])).toEqual([`0100007F:${hex}`]);
    await server.stop();
  });
});

it("removes the temporary directory of a server that was given none", async () => {
  const server = await startRedis();
  await server.stop();
  expect(() => readFileSync(server.logFile)).toThrow("ENOENT");
});

it("says what the server said when it cannot start, and leaves nothing running", async () => {
  const port = await freePort();
  const first = await startRedis({ port });
  await expect(startRedis({ port })).rejects.toThrow(/redis: port .* is in use/);
  await expect(startRedis({ config: "no-such-setting 1" })).rejects.toThrow(/no-such-setting/);
  await first.stop();
});

it("stops a server that is suspended", async () => {
  const server = await startRedis();
  await server.kill("SIGSTOP");
  const pid = server.pid ?? 0;
  await server.stop();
  expect(lives(pid)).toBe(false);
});

it("starts a PostgreSQL whose lock file names a process id that now belongs to somebody else", async () => {
  const dir = join(folder, "stale");
  const server = await startPostgres({ dir });
  const lockFile = join(dir, "data", "postmaster.pid");
  const lock = readFileSync(lockFile, "utf8");
  await server.kill("SIGKILL");
  writeFileSync(lockFile, lock.replace(/^\d+/, String(process.ppid)));
  await server.restart();
  await server.stop();
});

it("leaves no server behind when its parent is killed with -9", async () => {
  const program = `
    import { startPostgres, startRedis, startInflux, startNats, startMosquitto } from "@sluice/servers";
    const all = await Promise.all([startRedis(), startPostgres(), startInflux(), startNats(), startMosquitto()]);
    console.log(JSON.stringify(all.map(({ pid, dir }) => ({ pid, dir }))));
    setInterval(() => {}, 1000);`;
  const parent = spawn(
    process.execPath,
    ["--conditions=source", "--import", "tsx", "--input-type=module", "-e", program],
    {
      cwd: fileURLToPath(new URL("../../testkit", import.meta.url)),
      env: { ...process.env, NODE_OPTIONS: "" },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const line = await new Promise<string>((resolve) =>
    createInterface({ input: parent.stdout }).once("line", resolve),
  );
  const servers = JSON.parse(line) as { pid: number; dir: string }[];
  expect(servers.map(({ pid }) => lives(pid))).toEqual([true, true, true, true, true]);
  parent.kill("SIGKILL");
  const deadline = Date.now() + 10_000;
  while (servers.some(({ pid }) => lives(pid)) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(servers.filter(({ pid }) => lives(pid))).toEqual([]);
  for (const { dir } of servers) rmSync(dir, { recursive: true, force: true });
});
