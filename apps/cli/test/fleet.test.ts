import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "@jest/globals";
import { useMosquitto, waitFor } from "@sluice/testkit";
import { openDeliveryLedger } from "../src/fleet/delivery-ledger.ts";
import { type Fleet, openFleet } from "../src/fleet/open-fleet.ts";
import { openProfile } from "../src/simulation/profiles.ts";
import { runSimulation } from "../src/simulation/run-simulation.ts";

const mosquitto = useMosquitto();
const opened: Fleet[] = [];
afterEach(async () => {
  for (const fleet of opened.splice(0)) await fleet.close();
});

function open(connections: number): Fleet {
  const fleet = openFleet({ url: mosquitto.url, username: "u", password: "p", connections, clientId: "sim" });
  opened.push(fleet);
  return fleet;
}

const simulation = {
  devices: ["a", "b", "c"],
  read: await openProfile("hydroponics", { devices: 3, seed: 1 }),
  boot: "b1",
  topicRoot: "iotflow",
  drainMs: 20_000,
  signal: new AbortController().signal,
} as const;

test("a fleet that loses its broker sends what was not acknowledged again, until all of it is", async () => {
  const dir = await mkdtemp(join(tmpdir(), "sluice-ledger-"));
  const path = join(dir, "ledger");
  const ledger = await openDeliveryLedger(path);
  const fleet = open(2);
  await fleet.ready(5000);
  const running = runSimulation(fleet, { ...simulation, rate: 400, seconds: 4, ledger });
  running.catch((e) => console.log(e));
  await waitFor(async () => (await readFile(path, "utf8")).length > 500);
  await mosquitto.kill("SIGKILL");
  await waitFor(() => fleet.unacknowledged() > 100);
  await mosquitto.restart();
  const report = await running;
  await ledger.close();
  // A busy machine may miss the rate; it is said how much.
  expect(report.sent + report.notSent).toBe(1600);
  expect(report).toMatchObject({ acknowledged: report.sent, unacknowledged: 0 });
  expect(report.connectionLosses).toBeGreaterThanOrEqual(2);
  const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
  expect(new Set(lines).size).toBe(report.sent);
  expect(lines).toContain("a b1 1");
  await rm(dir, { recursive: true });
});

test("messages that are never acknowledged are reported so, and stopping early is prompt", async () => {
  const fleet = open(1);
  await fleet.ready(5000);
  await mosquitto.kill("SIGKILL");
  const report = await runSimulation(fleet, { ...simulation, rate: 50, seconds: 0.5, drainMs: 300 });
  await mosquitto.restart();
  expect(report.sent).toBe(25);
  expect(report.unacknowledged).toBeGreaterThan(20);
  expect(report.acknowledged + report.unacknowledged).toBe(25);
});

test("a fleet that is not let in says how many connected and why", async () => {
  const fleet = openFleet({
    url: "mqtt://127.0.0.1:1",
    username: "u",
    password: "p",
    connections: 3,
    clientId: "x",
  });
  opened.push(fleet);
  await expect(fleet.ready(300)).rejects.toThrow(
    /0 of 3 connections to mqtt:\/\/127\.0\.0\.1:1 .*ECONNREFUSED/,
  );
});
