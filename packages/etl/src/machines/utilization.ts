import { machineActivity } from "@sluice/analytics";
import { ACTIVITY_TABLE, type DerivedRow, utcDate } from "@sluice/db";
import { idsOf, samplesOfRole } from "./machine.ts";
import { DAY_MS, type MachineScript } from "./machine-job.ts";

/** A longer pause in everything that a machine logs ends a session. */
const SESSION_GAP_MS = 600_000;

/** Hours that a machine ran, was down as planned, and was down by an emergency or a stop. */
export const utilization: MachineScript = {
  name: "etl_agg_utilization",
  tables: [ACTIVITY_TABLE],
  needs: [],
  variables: (machine) => [...machine.variables],
  async compute(machine, days, nowMs) {
    const sessions = await machine.log.listSessions(machine.variables, days, SESSION_GAP_MS);
    const states = idsOf(machine, "operation", "emergency", "stop");
    const samples = await machine.log.listSamples(states, days);
    const signals = {
      sessions,
      operation: samplesOfRole(machine, "operation", samples)[0] ?? [],
      stops: [...samplesOfRole(machine, "emergency", samples), ...samplesOfRole(machine, "stop", samples)],
      knownToMs: machine.span.toMs,
    };
    const rows: DerivedRow[] = [];
    for (let dayMs = days.fromMs; dayMs < Math.min(days.toMs, nowMs); dayMs += DAY_MS) {
      const day = { fromMs: dayMs, toMs: Math.min(dayMs + DAY_MS, nowMs) };
      const { running, planned, unplanned } = machineActivity(signals, day);
      rows.push({
        machine_id: machine.machineId,
        dt: utcDate(dayMs),
        state_planned_down: planned,
        state_running: running,
        state_unplanned_down: unplanned,
      });
    }
    return { outputs: [{ table: ACTIVITY_TABLE, rows }] };
  },
};
