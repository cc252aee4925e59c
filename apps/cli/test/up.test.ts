import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, expect, it } from "@jest/globals";
import { openDb } from "@sluice/db";
import { startInstallation, waitFor } from "@sluice/testkit";

const dataDir = mkdtempSync(join(tmpdir(), "sluice up é "));
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

const program = fileURLToPath(new URL("../../../sluice", import.meta.url));
const run = promisify(execFile);

interface Unit {
  name: string;
  pid: number;
  port?: number;
  opsPort?: number;
}

function readState(): { pid: number; mqttPort: number; httpPort: number; services: Unit[]; servers: Unit[] } {
  return JSON.parse(readFileSync(join(dataDir, "state.json"), "utf8"));
}

const lives = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

async function countDevices(url: string): Promise<unknown> {
  const db = await openDb(url, { max: 1 });
  try {
    return (await db.query("SELECT count(*) AS n FROM iot.devices"))[0];
  } finally {
    await db.close();
  }
}

it("starts, is alone in its folder, stops leaving nothing, and goes on with data and ports", async () => {
  const first = await startInstallation({ dataDir });
  const state = readState();
  const [line] = await first.printed(/^mosquitto_pub .*(?=\n)/m);
  expect(line).toContain("-t iotflow/devices/esp32_001/telemetry/environmental");
  await run("sh", ["-c", line]);
  for (const file of ["secrets.json", "state.json"]) {
    expect((statSync(join(dataDir, file)).mode & 0o777).toString(8)).toBe("600");
  }
  await waitFor(async () => JSON.parse(await first.sluice("ledger", "--json")).postgres.stored === 1);

  const second = run(program, ["up", "--data-dir", dataDir, "--no-tty"]);
  await expect(second).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining("already runs on") });

  expect(await first.stop()).toBe(0);
  expect([...state.services, ...state.servers].filter(({ pid }) => lives(pid))).toEqual([]);

  const again = await startInstallation({ dataDir });
  const { services, servers } = readState();
  expect(servers.map(({ port }) => port)).toEqual(state.servers.map(({ port }) => port));
  expect(services.map(({ opsPort }) => opsPort)).toEqual(state.services.map(({ opsPort }) => opsPort));
  expect(again.output()).not.toContain("mosquitto_pub");
  expect(await countDevices(again.urls().postgresUrl)).toEqual({ n: 1 });
  expect(JSON.parse(await again.sluice("ledger", "--json")).postgres).toMatchObject({
    stored: 1,
    balanced: true,
  });
  await again.stop();
});

it("leaves nothing behind when it is killed with -9 itself, and takes the folder over at the next start", async () => {
  const first = await startInstallation({ dataDir });
  const state = readState();
  first.supervisor.kill("SIGKILL");
  await waitFor(() => [...state.services, ...state.servers].every(({ pid }) => !lives(pid)));
  const again = await startInstallation({ dataDir });
  expect(readState().pid).not.toBe(state.pid);
  expect(await again.stop()).toBe(0);
});
