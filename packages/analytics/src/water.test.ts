import { describe, expect, test } from "@jest/globals";
import { momentsOf } from "./moments.ts";
import {
  deviationPercent,
  findAnomalies,
  findPressureLimits,
  mostSeverePerMinute,
  stepSeverity,
  zSeverity,
} from "./water-anomalies.ts";
import { balanceOf, balanceZones, findLeaks, type NodeVolume, roleOf } from "./water-efficiency.ts";
import { qualityScores } from "./water-quality.ts";
import {
  completenessOf,
  counterVolume,
  countOutliers,
  flowVolumeM3,
  isPressureOut,
  learnIntervalMs,
  pressureZone,
} from "./water-window.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

describe("a window of a node", () => {
  test("TRAP: its volume does not grow with the number of readings", () => {
    const every = (minutes: number) =>
      Array.from({ length: 60 / minutes }, (_, i) => ({ atMs: i * minutes * MINUTE_MS, value: 20 }));
    const volume = (minutes: number) =>
      flowVolumeM3(every(minutes), { fromMs: 0, toMs: HOUR_MS, intervalMs: minutes * MINUTE_MS });
    expect([1, 20, 30].map(volume)).toEqual([72, 72, 72]);
  });

  test("its volume counts no water for longer than two intervals after a reading, and none where nothing is known", () => {
    const sample = [{ atMs: 0, value: 10 }];
    expect(flowVolumeM3(sample, { fromMs: 0, toMs: HOUR_MS, intervalMs: 5 * MINUTE_MS })).toBe(6);
    expect(flowVolumeM3([], { fromMs: 0, toMs: HOUR_MS, intervalMs: MINUTE_MS })).toBeUndefined();
    const carried = [{ atMs: -MINUTE_MS, value: 10 }];
    expect(flowVolumeM3(carried, { fromMs: 0, toMs: HOUR_MS, intervalMs: 30 * MINUTE_MS })).toBeCloseTo(
      35.4,
      9,
    );
  });

  test("TRAP: a meter is counted by what it rises, not summed, whatever it jitters, and goes on after a reset", () => {
    expect(counterVolume([1000, 1001, 1003])).toBe(3);
    expect(counterVolume([1000, 1002, 1001, 1003])).toBe(3);
    expect(counterVolume([1000, 1002, 5, 8])).toBe(5);
    expect(counterVolume([1000])).toBeUndefined();
  });

  test("TRAP: completeness is of the node's own interval and never above 100 %", () => {
    const half = (n: number) => Array.from({ length: n }, (_, i) => i * 30 * MINUTE_MS);
    expect(learnIntervalMs([...half(10), 400 * HOUR_MS])).toBe(30 * MINUTE_MS);
    expect(learnIntervalMs([0, 1, 2])).toBeUndefined();
    expect(completenessOf(48, 24 * HOUR_MS, 30 * MINUTE_MS)).toEqual({ expected: 48, percent: 100 });
    expect(completenessOf(1440, 24 * HOUR_MS, 30 * MINUTE_MS).percent).toBe(100);
    expect(completenessOf(1, 5 * MINUTE_MS, 30 * MINUTE_MS)).toEqual({ expected: 1, percent: 100 });
    expect(completenessOf(30, HOUR_MS, MINUTE_MS).percent).toBe(50);
  });

  test("outliers are beyond three deviations of the same window; pressure has limits and zones", () => {
    expect(
      countOutliers([
        ...Array(30)
          .fill(10)
          .map((v, i) => v + (i % 2)),
        90,
      ]),
    ).toBe(1);
    expect(countOutliers([5, 5, 5])).toBe(0);
    expect([1.99, 2, 8, 8.01].map(isPressureOut)).toEqual([true, false, false, true]);
    expect([3, 2.99, 2.5, 2.49].map(pressureZone)).toEqual(["optimal", "warning", "warning", "critical"]);
  });
});

describe("anomalies", () => {
  const before = { values: momentsOf([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), steps: momentsOf([]) };

  test("medium, high and critical of the formula are the table's info, warning and critical", () => {
    expect([2.49, 2.5, -3, 4].map(zSeverity)).toEqual([undefined, "info", "warning", "critical"]);
    expect([2, 2.1, 3, 3.1].map(stepSeverity)).toEqual([undefined, "info", "info", "warning"]);
    const [found] = findAnomalies([{ atMs: 5, value: 20 }], before);
    expect(found).toMatchObject({ type: "z_score", severity: "critical", expected: 5.5, atMs: 5 });
    expect(found && deviationPercent(found)).toBeCloseTo(263.6, 1);
  });

  test("fewer than ten readings before judge nothing, and a reading is never judged by itself or by later ones", () => {
    const points = Array.from({ length: 12 }, (_, i) => ({ atMs: i, value: i === 5 ? 500 : 10 }));
    expect(findAnomalies(points)).toEqual([]);
  });

  test("a jump is found by its step although its value is usual", () => {
    const slow = Array.from({ length: 40 }, (_, i) => ({ atMs: i, value: 50 + (i % 3) * 0.5 + i }));
    const types = findAnomalies([...slow, { atMs: 41, value: 60 }]).map(({ type, atMs }) => [type, atMs]);
    expect(types).toContainEqual(["rate_of_change", 41]);
    expect(types).not.toContainEqual(["z_score", 41]);
  });

  test("a sensor that never moved may move by its resolution", () => {
    const still = Array.from({ length: 30 }, (_, i) => ({ atMs: i, value: 4 }));
    expect(findAnomalies([...still, { atMs: 31, value: 4.05 }])).toEqual([]);
    expect(findAnomalies([...still, { atMs: 31, value: 5 }]).map(({ severity }) => severity)).toContain(
      "critical",
    );
  });

  test("of one minute the most severe stays", () => {
    const pressure = findPressureLimits([{ atMs: 0, value: 1 }]);
    const [z] = findAnomalies([{ atMs: 30_000, value: 14 }], before);
    if (!z) throw new Error("nothing found");
    expect(mostSeverePerMinute([z, ...pressure])).toEqual(pressure);
    expect(mostSeverePerMinute([{ ...z, atMs: 61_000 }, ...pressure])).toHaveLength(2);
    expect(deviationPercent({ ...z, expected: 0 })).toBeNull();
  });
});

describe("quality", () => {
  test("TRAP: validity and consistency are computed, and nothing known is worth nothing", () => {
    const scores = qualityScores({ expected: 4, actual: 2, values: 8, invalid: 2, steps: 4, implausible: 1 });
    expect(scores).toEqual({ completeness: 0.5, validity: 0.75, consistency: 0.75, overall: 2 / 3 });
    expect(
      qualityScores({ expected: 4, actual: 0, values: 0, invalid: 0, steps: 0, implausible: 0 }).overall,
    ).toBe(0);
  });
});

describe("efficiency", () => {
  const node = (
    name: string,
    type: string,
    volume: number | null,
    upstream?: string,
    zone = "north",
  ): NodeVolume => ({
    node: name,
    zone,
    role: roleOf(type),
    volume,
    upstream,
  });

  test("TRAP: it is output by input, not a constant, and has no value where nothing came in", () => {
    const nodes = [
      node("s", "source", 100),
      node("d1", "distribution", 50),
      node("d2", "Delivery", 31),
      node("t", "tank", 9),
    ];
    expect(balanceOf(nodes)).toEqual({ input: 100, output: 81, loss: 19, efficiency: 81 });
    expect(balanceOf(nodes.slice(1)).efficiency).toBeNull();
    expect([...balanceZones([...nodes, node("x", "supply", 3, undefined, "south")]).keys()]).toEqual([
      "north",
      "south",
    ]);
  });

  test("a pair that loses more than a tenth hints at a leak; one that is not known is not judged", () => {
    const leaky = [node("s", "source", 100), node("d1", "distribution", 50), node("d2", "distribution", 39)];
    expect(findLeaks(leaky)).toMatchObject([{ from: "s", to: ["d1", "d2"], loss: 11 }]);
    expect(findLeaks([node("s", "source", 100), node("d", "distribution", 90)])).toEqual([]);
    expect(findLeaks([node("s", "source", 100), node("d", "distribution", null)])).toEqual([]);
  });

  test("nodes that say what feeds them are compared with that", () => {
    const nodes = [
      node("s", "source", 100),
      node("p", "pipe", 98, "s"),
      node("d1", "distribution", 50, "p"),
      node("d2", "distribution", 20, "p"),
    ];
    expect(findLeaks(nodes)).toMatchObject([{ from: "p", to: ["d1", "d2"], loss: 28 }]);
  });
});
