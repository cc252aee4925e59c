import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { type MachineSignals, machineActivity, offTimes } from "./machine-activity.ts";
import type { Sample } from "./time-weighted.ts";

const HOUR_MS = 3_600_000;
const day = { fromMs: 0, toMs: 24 * HOUR_MS };
const at = (hour: number, value: number | null): Sample => ({ atMs: hour * HOUR_MS, value });
const none: MachineSignals = { sessions: [], operation: [], stops: [], knownToMs: 48 * HOUR_MS };

const hours = fc.integer({ min: -24, max: 48 });
const signal = fc
  .uniqueArray(fc.record({ hour: hours, value: fc.constantFrom(null, 0, 1, 255) }), {
    selector: ({ hour }) => hour,
    maxLength: 12,
  })
  .map((list) => list.sort((a, b) => a.hour - b.hour).map(({ hour, value }) => at(hour, value)));

test("the three states of a day are its 24 hours, whatever the signals say at once", () => {
  fc.assert(
    fc.property(signal, signal, signal, fc.tuple(hours, hours), (operation, emergency, stop, [a, b]) => {
      const sessions = [{ fromMs: Math.min(a, b) * HOUR_MS, toMs: Math.max(a, b) * HOUR_MS }];
      const signals = { ...none, sessions, operation, stops: [emergency, stop] };
      const { running, planned, unplanned } = machineActivity(signals, day);
      expect(running + planned + unplanned).toBeCloseTo(24, 6);
      expect(Math.min(running, planned, unplanned)).toBeGreaterThanOrEqual(0);
      // two half days are the day
      const [am, pm] = [
        machineActivity(signals, { fromMs: 0, toMs: 12 * HOUR_MS }),
        machineActivity(signals, { fromMs: 12 * HOUR_MS, toMs: 24 * HOUR_MS }),
      ];
      expect(am.running + pm.running).toBeCloseTo(running, 6);
      expect(am.unplanned + pm.unplanned).toBeCloseTo(unplanned, 6);
    }),
  );
});

test("a stop that nothing ends lasts as long as the log", () => {
  expect(machineActivity({ ...none, stops: [[at(20, 1)]], knownToMs: 22 * HOUR_MS }, day)).toEqual({
    running: 0,
    planned: 22,
    unplanned: 2,
  });
});

test("off is from a null to the next value", () => {
  expect(offTimes([at(1, null), at(2, 0), at(3, null)], day.toMs)).toEqual([
    { fromMs: HOUR_MS, toMs: 2 * HOUR_MS },
    { fromMs: 3 * HOUR_MS, toMs: 24 * HOUR_MS },
  ]);
});
