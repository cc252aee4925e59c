import { energyByHour, heldValues, offTimes, subtractStretches } from "@sluice/analytics";
import { ENERGY_TABLE, utcText } from "@sluice/db";
import { idsOf, samplesOfRole } from "./machine.ts";
import type { MachineScript } from "./machine-job.ts";

/** kWh of each hour, from how much of their nominal power the motors used. */
export const energyDaily: MachineScript = {
  name: "etl_agg_energy_daily",
  tables: [ENERGY_TABLE],
  needs: ["motor"],
  variables: (machine) => idsOf(machine, "motor", "operation"),
  async compute(machine, days) {
    const samples = await machine.log.listSamples(idsOf(machine, "motor", "operation"), days);
    const off = offTimes(samplesOfRole(machine, "operation", samples)[0] ?? [], days.toMs);
    const motors = machine.roles.motor.map(({ id, factor }) => ({
      nominalKw: factor,
      utilization: subtractStretches(
        heldValues(samples.get(id) ?? [], { ...days, knownToMs: machine.span.toMs }),
        off,
      ),
    }));
    const rows = [...energyByHour(motors)].map(([hourMs, kwh]) => ({
      machine_id: machine.machineId,
      hour_ts: utcText(hourMs),
      energy_kwh: kwh,
    }));
    return { outputs: [{ table: ENERGY_TABLE, rows }] };
  },
};
