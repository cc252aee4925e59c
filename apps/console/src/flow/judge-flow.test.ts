import { expect, test } from "@jest/globals";
import type { Flow, GroupFlow } from "../api/types/flow.ts";
import { flowRates } from "./flow-rates.ts";
import { judgeFlow } from "./judge-flow.ts";

const group = (change: Partial<GroupFlow> = {}): GroupFlow => ({
  group: "postgres",
  service: "stream-worker",
  state: "up",
  unread: 0,
  pending: 0,
  pendingEntries: 0,
  parked: 0,
  oldestPendingMs: null,
  consumers: [],
  stored: 0,
  duplicate: 0,
  quarantined: 0,
  lost: 0,
  balanced: true,
  ...change,
});
const look = (second: number, change: Partial<GroupFlow> = {}, accepted = 0): Flow => ({
  at: new Date(second * 1000).toISOString(),
  gateway: { state: "up" },
  bus: { state: "up", accepted, entries: 0, usedBytes: null, maxBytes: null },
  groups: [group(change)],
  stores: { postgres: "up", influx: "up" },
  scheduler: { state: "up", lastRun: null, rolledUpTo: null, dirty: 0 },
  refused: { waiting: 0, last: null },
  devices: {},
});

test("a path on which all runs gives nothing to do", () => {
  expect(judgeFlow([])).toEqual([]);
  expect(judgeFlow([look(0), look(1)])).toEqual([]);
});

test("a stopped service comes first, with what waits for it", () => {
  const stopped = { ...look(1, { state: "stopped", unread: 1200, pending: 4 }), scheduler: null };
  const [first] = judgeFlow([look(0), stopped]);
  expect(first).toMatchObject({ severity: "bad", title: "stream-worker is stopped" });
  expect(first?.advice).toContain("1,204 messages wait");
});

test("a lag that grows is told from one that is worked off", () => {
  const looks = (unread: (second: number) => number) =>
    Array.from({ length: 20 }, (_, second) => look(second, { unread: unread(second) }));
  expect(judgeFlow(looks((second) => 2000 + 100 * second))).toMatchObject([{ severity: "warn" }]);
  expect(judgeFlow(looks((second) => 4000 - 100 * second))).toEqual([]);
});

test("rates are taken over the last seconds, for what came in and what each group has done with", () => {
  const looks = [
    look(0, {}, 0),
    look(100, { stored: 1000 }, 2000),
    look(105, { stored: 1050, duplicate: 50 }, 2500),
  ];
  expect(flowRates(looks)).toEqual({ accepted: 100, settled: { postgres: 20 } });
  expect(flowRates(looks.slice(0, 1)).accepted).toBeNull();
});
