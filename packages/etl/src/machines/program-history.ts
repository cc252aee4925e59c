import { heldValues, offTimes, programTimes, subtractStretches } from "@sluice/analytics";
import { PROGRAM_TABLE, utcDate } from "@sluice/db";
import { idsOf, samplesOfRole } from "./machine.ts";
import type { MachineScript } from "./machine-job.ts";

/** Seconds that each program ran on each day. */
export const programHistory: MachineScript = {
  name: "etl_agg_program_history",
  tables: [PROGRAM_TABLE],
  needs: ["program"],
  variables: (machine) => idsOf(machine, "program", "operation"),
  async compute(machine, days) {
    const samples = await machine.log.listSamples(idsOf(machine, "program", "operation"), days);
    const off = offTimes(samplesOfRole(machine, "operation", samples)[0] ?? [], days.toMs);
    const program = samplesOfRole(machine, "program", samples)[0] ?? [];
    const held = subtractStretches(heldValues(program, { ...days, knownToMs: machine.span.toMs }), off);
    const rows = programTimes(held).map(({ dayMs, program: number, seconds }) => ({
      machine_id: machine.machineId,
      dt: utcDate(dayMs),
      program: number,
      duration_seconds: seconds,
    }));
    return { outputs: [{ table: PROGRAM_TABLE, rows }] };
  },
};
