import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";

let sluice: Installation;

beforeAll(async () => {
  sluice = await startInstallation();
});

afterAll(async () => {
  await sluice?.stop();
});

interface Balance {
  accepted: number;
  stored: number;
  pending: number;
  unread: number;
  balanced: boolean;
}

const readLedger = async () => JSON.parse(await sluice.sluice("ledger", "--json")) as Record<string, Balance>;

test("every process of sluice up, killed under load one after the other, comes back and nothing is missing", async () => {
  const before = (await readLedger()).postgres?.stored ?? 0;
  const load = sluice.sluice("simulate", "--devices", "10", "--rate", "150", "--seconds", "15", "--json");
  const status = await sluice.status();
  const names = [...(status?.services ?? []), ...(status?.servers ?? [])].map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining(["ingest-gateway", "stream-worker", "redis", "postgres", "influx"]),
  );
  for (const name of names) {
    const pid = pidOf(name);
    if (pid === null) throw new Error(`${name} does not run`);
    process.kill(pid, "SIGKILL");
    await waitFor(() => ![pid, null].includes(pidOf(name)), {
      timeoutMs: 20_000,
      intervalMs: 50,
      what: `a new ${name}`,
    });
  }
  const report = JSON.parse(await load) as { sent: number; acknowledged: number };
  expect(report.sent).toBeGreaterThan(1500);
  expect(report.acknowledged).toBe(report.sent);
  const ledger = await waitFor(
    async () => {
      const now = await readLedger();
      return Object.values(now).every(({ pending, unread }) => pending + unread === 0) ? now : undefined;
    },
    { timeoutMs: 30_000, intervalMs: 300, what: "an empty backlog" },
  );
  for (const [group, { balanced }] of Object.entries(ledger))
    expect([group, balanced]).toEqual([group, true]);
  expect((ledger.postgres?.stored ?? 0) - before).toBe(report.sent);
  expect((await sluice.untilReady(30_000)).ready).toBe(true);
}, 240_000);

/** From the supervisor's own state: asking the command line would take longer than a restart. */
const pidOf = (name: string): number | null => {
  const state = JSON.parse(readFileSync(join(sluice.dataDir, "state.json"), "utf8")) as Record<
    "services" | "servers",
    { name: string; pid: number | null }[]
  >;
  return [...state.services, ...state.servers].find((one) => one.name === name)?.pid ?? null;
};
