import {
  type Engine,
  type JobResult,
  listLoggedMachines,
  MACHINE_SCRIPTS,
  type MachineStores,
  runMachines,
} from "@sluice/etl";
import { OutageError } from "@sluice/shared-types";

/** Longer it does not keep the others waiting; what is left is due the next time. */
const MOST_MS = 120_000;

/** Does what is due of the machines' five jobs, at most for two minutes. A database that is out of reach is waited for. */
export async function aggregateMachines(engine: Engine, stores: MachineStores): Promise<JobResult[]> {
  try {
    const machines = await listLoggedMachines(engine.db, stores);
    const limited = { ...engine, signal: AbortSignal.any([engine.signal, AbortSignal.timeout(MOST_MS)]) };
    return await runMachines(limited, { scripts: MACHINE_SCRIPTS, machines, extent: "due" });
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    engine.log.warn({ err: error }, "machines cannot be aggregated now; the next time again");
    return [];
  }
}
