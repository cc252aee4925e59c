import {
  type Engine,
  type JobResult,
  type LoggedMachine,
  listLoggedMachines,
  MACHINE_SCRIPTS,
  type MachineStores,
  runMachines,
} from "@sluice/etl";

/** Longer it does not keep the others waiting; what is left is due the next time. */
const MOST_MS = 120_000;

/**
 * Does what is due of the machines' five jobs, at most for two minutes. Databases of machines that are out of reach, or
 * refuse us, keep nothing else from working.
 */
export async function aggregateMachines(engine: Engine, stores: MachineStores): Promise<JobResult[]> {
  let machines: LoggedMachine[];
  try {
    machines = await listLoggedMachines(engine.db, stores);
  } catch (error) {
    engine.log.error({ err: error }, "the logs of machines cannot be read now; the next time again");
    return [];
  }
  const limited = { ...engine, signal: AbortSignal.any([engine.signal, AbortSignal.timeout(MOST_MS)]) };
  return runMachines(limited, { scripts: MACHINE_SCRIPTS, machines, extent: "due" });
}
