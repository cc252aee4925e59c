import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";
import { startRedis } from "@sluice/servers";
import { waitFor } from "@sluice/testkit";
import { createBackOff } from "../src/up/back-off.ts";
import type { EventLog } from "../src/up/event-log.ts";
import { keepRunning } from "../src/up/keep-running.ts";
import { createServerUnit } from "../src/up/server-unit.ts";
import { createServiceUnit } from "../src/up/service-unit.ts";

const folder = mkdtempSync(join(tmpdir(), "sluice keep "));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const silent: EventLog = { debug() {}, info() {}, warn() {}, error() {} };

function program(name: string, text: string) {
  const entry = join(folder, `${name}.mjs`);
  writeFileSync(entry, text);
  const lines: string[] = [];
  const unit = createServiceUnit({
    name,
    entry,
    env: { PATH: process.env.PATH ?? "" },
    stopTimeoutMs: 5_000,
    logDir: join(folder, "logs"),
    onLine: (line) => lines.push(line),
  });
  return { unit, lines };
}

describe("a kept service", () => {
  it("comes back after kill -9 and stays away after stop", async () => {
    const { unit } = program("steady", "setInterval(() => {}, 1000)");
    await unit.start();
    const kept = keepRunning(unit, silent, () => {});
    const first = kept.pid ?? 0;
    process.kill(first, "SIGKILL");
    const second = await waitFor(() => kept.pid !== first && kept.pid);
    expect(kept.restarts).toBe(1);
    await kept.stop();
    expect(kept.pid).toBeUndefined();
    expect(() => process.kill(second, 0)).toThrow("ESRCH");
  });

  it("is told of a configuration that it refuses", async () => {
    const { unit } = program("refusing", "process.exit(2)");
    await unit.start();
    const kept = keepRunning(unit, silent, () => {});
    expect(await kept.refused).toBe(2);
    await kept.stop();
  });

  it("keeps what a crash says, as JSON lines, in its log", async () => {
    const { unit, lines } = program(
      "crashing",
      "console.log('{\"msg\":\"hello\"}'); throw new Error('broken')",
    );
    await unit.start();
    await unit.exited();
    const error = await waitFor(() => lines.find((line) => line.includes("Error: broken")));
    expect(JSON.parse(error)).toMatchObject({ level: "error", service: "crashing" });
    await waitFor(() => readFileSync(join(folder, "logs", "crashing.log"), "utf8").includes("Error: broken"));
    expect(lines).toContain('{"msg":"hello"}');
    await unit.stop();
  });
});

it("brings a killed server back on its port and data", async () => {
  const server = await startRedis({ dir: join(folder, "redis") });
  const kept = keepRunning(createServerUnit(server), silent, () => {});
  const first = server.pid ?? 0;
  process.kill(first, "SIGKILL");
  await waitFor(() => server.pid !== undefined && server.pid !== first && kept.restarts === 1);
  await kept.stop();
  expect(server.pid).toBeUndefined();
});

it("waits longer after each quick failure, at most 10 s, and little after a good run", () => {
  const backOff = createBackOff();
  const waits = Array.from({ length: 9 }, () => backOff.next(0));
  expect(waits).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  expect(backOff.next(60_000)).toBe(100);
});
