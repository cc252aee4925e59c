import { expect, test } from "@jest/globals";
import { faults } from "../src/faults/catalogue.ts";
import { runFaults } from "../src/faults/run-faults.ts";

const quick = faults.filter(({ quick }) => quick);

test("nothing acknowledged is lost or stored twice through kills, crashes and cut connections", async () => {
  const failures: string[] = [];
  const runs = await runFaults(quick, {
    seed: 1,
    runs: 1,
    load: { seconds: 3, rate: 200, devices: 4 },
    onRun: (fault, { oracles, note }) => {
      if (Object.values(oracles).includes(false)) failures.push(`${fault.id} ${fault.title}: ${note}`);
    },
    onSkipped: (fault, why) => failures.push(`${fault.id} was not caused: ${why}`),
  });
  expect(failures).toEqual([]);
  expect(runs.map(({ lost, duplicated }) => lost + duplicated)).toEqual(quick.map(() => 0));
  expect(runs.every(({ acked }) => acked >= 500)).toBe(true);
}, 240_000);
