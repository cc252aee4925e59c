import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { grafanaName, toGrafanaDashboard } from "./grafana-dashboard.ts";
import type { Pack } from "./pack.ts";
import { PackError, readPack, readPacks } from "./read-packs.ts";
import { createSimulatedDevices } from "./simulate-device.ts";
import { DeviceModel } from "./simulator.ts";

const ROOT = fileURLToPath(new URL("../../../packs", import.meta.url));
const MONDAY = Date.UTC(2026, 5, 1);
const HOUR_MS = 3_600_000;
let packs: Pack[];
let folder: string;
beforeAll(async () => {
  packs = await readPacks(ROOT);
  folder = await mkdtemp(join(tmpdir(), "sluice packs "));
});
afterAll(() => rm(folder, { recursive: true }));

describe("packs", () => {
  test("the four domains are folders of data", () => {
    expect(packs.map(({ name }) => name)).toEqual(["cea", "hydroponics", "machines", "water-network"]);
    for (const pack of packs) expect(pack.dashboards.length).toBeGreaterThan(0);
  });

  test("a folder that says something wrong is refused with its file and field", async () => {
    const copy = join(folder, "water-network");
    await cp(join(ROOT, "water-network"), copy, { recursive: true });
    const path = join(copy, "pack.json");
    const good = JSON.parse(await readFile(path, "utf8"));
    await writeFile(
      path,
      JSON.stringify({ ...good, sensorTypes: [{ ...good.sensorTypes[0], min: 9, max: 3 }] }),
    );
    await expect(readPack(copy)).rejects.toThrow(/min is not below max/);
    await writeFile(path, JSON.stringify({ ...good, sensorTypes: good.sensorTypes.slice(1) }));
    await expect(readPack(copy)).rejects.toThrow(/no sensor type has the field 'flow_rate'/);
    await writeFile(path, JSON.stringify({ ...good, jobs: ["hourl"] }));
    await expect(readPack(copy)).rejects.toThrow(/there is no job 'hourl'; there are hourly, daily, water/);
    await writeFile(path, "{");
    await expect(readPack(copy)).rejects.toThrow(PackError);
    await writeFile(path, JSON.stringify({ ...good, name: "other" }));
    await expect(readPacks(folder)).rejects.toThrow(/named 'other'/);
  });
});

test("their dashboards are among those that Grafana is given, as ./sluice packs grafana writes them", async () => {
  const given = fileURLToPath(new URL("../../../deploy/grafana/dashboards/", import.meta.url));
  for (const pack of packs) {
    for (const dashboard of pack.dashboards) {
      const file = join(given, `${grafanaName(pack, dashboard)}.json`);
      expect(JSON.parse(await readFile(file, "utf8"))).toEqual(toGrafanaDashboard(pack, dashboard));
    }
  }
});

describe("simulated devices", () => {
  test("repeat themselves exactly for one seed and differ from one another", () => {
    for (const { simulator, name } of packs) {
      const run = (seed: number) =>
        createSimulatedDevices(simulator.devices, seed).map((device) =>
          Array.from({ length: 20 }, (_, i) => device.read(MONDAY + 8 * HOUR_MS + i * 60_000)),
        );
      expect(run(7)).toEqual(run(7));
      expect([name, JSON.stringify(run(7)) === JSON.stringify(run(8))]).toEqual([name, false]);
    }
  });

  test("stay within what their sensor types allow, through two weeks with all their faults", () => {
    const outside: string[] = [];
    for (const { simulator, sensorTypes } of packs) {
      const limits = new Map(sensorTypes.flatMap((type) => type.fields.map((field) => [field, type])));
      for (const device of createSimulatedDevices(simulator.devices, 3)) {
        for (let at = MONDAY; at < MONDAY + 14 * 24 * HOUR_MS; at += 600_000) {
          for (const [field, value] of Object.entries(device.read(at))) {
            const { min = -Infinity, max = Infinity } = limits.get(field) ?? {};
            if (typeof value === "number" && !(value >= min && value <= max))
              outside.push(`${device.id} ${field} ${value}`);
          }
        }
      }
    }
    expect(outside).toEqual([]);
  });

  const model = (given: object) =>
    createSimulatedDevices([DeviceModel.parse({ id: "x-{n}", type: "t", everySeconds: 1, ...given })], 1)[0];

  test("follow the day, count what flows, and go on counting after a restart", () => {
    const hourly = Array.from({ length: 24 }, (_, hour) => (hour === 8 ? 2 : 1));
    const device = model({
      fields: { flow: { base: 10, hourly }, volume: { counterOf: "flow", perSecond: 0.001 } },
    });
    const first = device?.read(MONDAY + 2 * HOUR_MS);
    const second = device?.read(MONDAY + 3 * HOUR_MS);
    expect(first?.flow).toBe(10);
    expect(Number(second?.volume) - Number(first?.volume)).toBeCloseTo(36, 3);
    expect(device?.read(MONDAY + 8 * HOUR_MS).flow).toBe(20);
  });

  test("have shifts, send only what changed, and are off with null", () => {
    const shifts = [{ state: "running", days: [1, 2, 3, 4, 5], fromHour: 6, toHour: 14 }];
    const fields = {
      state: { states: { running: 255, off: null } },
      rpm: { states: { running: 3000, off: null } },
    };
    const device = model({ onChange: true, state: "off", shifts, fields });
    expect(device?.read(MONDAY + 5 * HOUR_MS)).toEqual({ state: null, rpm: null });
    expect(device?.read(MONDAY + 5.5 * HOUR_MS)).toEqual({});
    expect(device?.read(MONDAY + 6 * HOUR_MS)).toEqual({ state: 255, rpm: 3000 });
    expect(device?.read(MONDAY + 14 * HOUR_MS)).toEqual({ state: null, rpm: null });
    expect(device?.read(MONDAY - 18 * HOUR_MS)).toEqual({}); // Sunday
  });

  test("faults of one name come together, and last as long as they are said to", () => {
    const fault = { name: "leak", everyHours: 24, lastsMinutes: 120 };
    const device = model({
      fields: { flow: { base: 10 }, pressure: { base: 4 } },
      faults: [
        { ...fault, field: "flow", kind: "multiply", amount: 2 },
        { ...fault, field: "pressure", kind: "missing" },
      ],
    });
    let minutes = 0;
    let apart = 0;
    for (let at = MONDAY; at < MONDAY + 24 * HOUR_MS; at += 60_000) {
      const { flow, pressure } = device?.read(at) ?? {};
      if (flow === 20) minutes++;
      if ((flow === 20) !== (pressure === undefined)) apart++;
    }
    expect(apart).toBe(0);
    expect(minutes).toBeGreaterThanOrEqual(119);
    expect(minutes).toBeLessThanOrEqual(121);
  });
});
