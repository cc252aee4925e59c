import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { previewRule } from "@sluice/analytics";
import { createDevice, listAlerts } from "@sluice/db";
import { waitFor } from "@sluice/testkit";
import { MINUTE_US, useWorker } from "./use-worker.ts";

const it = useWorker();
const ROOT = resolve(import.meta.dirname, "../../..");
const processes: ChildProcess[] = [];
afterAll(async () => {
  for (const child of processes) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

/** The service as a process of its own; its lines are kept. */
function startProcess(): { child: ChildProcess; output: () => string } {
  const child = spawn(
    process.execPath,
    ["--conditions=source", "--import", "tsx", "services/alert-worker/src/main.ts"],
    {
      cwd: ROOT,
      env: { ...process.env, ...it.env, SLUICE_OPS_PORT: "0" },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => (text += chunk.toString()));
  processes.push(child);
  return { child, output: () => text };
}

test("with two processes and the leading one killed in between, every alert is raised once", async () => {
  const devices = ["k0", "k1", "k2", "k3"];
  for (const id of devices) await createDevice(it.db, "pepper-of-the-tests", { id });
  const rule = await it.rule({ durationMinutes: 1 });
  const first = startProcess();
  await waitFor(() => first.output().includes("leading"), { timeoutMs: 90_000, what: "the first to lead" });
  it.start();
  const startUs = Date.now() * 1000 - 14 * MINUTE_US;
  const readings = Array.from({ length: 400 }, (_, i) => ({
    timeUs: startUs + i * 2_000_000,
    value: Math.floor(i / 40) % 2 === 0 ? 20 : 40,
  }));
  const expected = previewRule(rule as Parameters<typeof previewRule>[0], readings);
  for (let i = 0; i < readings.length; i += 20) {
    for (const device of devices) {
      const part = readings.slice(i, i + 20);
      await it.send(
        device,
        ...part.map(({ timeUs, value }) => ({ fields: { temperature: value }, timesUs: [timeUs] })),
      );
    }
    if (i === 200) first.child.kill("SIGKILL");
  }
  await it.judged();
  const alerts = await listAlerts(it.db, { ruleId: rule.id }, 1000);
  for (const device of devices) {
    const own = alerts.filter((alert) => alert.device === device).reverse();
    expect(own.map(({ triggeredAt }) => triggeredAt.getTime())).toEqual(
      expected.map(({ raisedUs }) => Math.floor(raisedUs / 1000)),
    );
  }
  const ledger = (await it.bus.ledger("sluice:telemetry:{0}")).find(({ group }) => group === "alerts");
  expect(ledger).toMatchObject({
    balanced: true,
    pending: 0,
    stored: readings.length * devices.length,
    lost: 0,
  });
});
