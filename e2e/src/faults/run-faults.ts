import type { Fault, LoadSize } from "./fault.ts";
import { openRig, type Rig, type RigKind } from "./rig.ts";
import { type FaultRun, runFault } from "./run-fault.ts";

/** How to run faults. */
export interface RunFaultsOptions {
  /** First seed; run `i` of a fault has seed + i. */
  seed: number;
  /** Runs of each fault. */
  runs: number;
  load: LoadSize;
  onRun(fault: Fault, run: FaultRun): void;
  onSkipped(fault: Fault, why: string): void;
  signal?: AbortSignal;
}

/** A system for one run only: afterwards it is not what it was. */
const ONCE: readonly RigKind[] = ["replica"];

/** Runs faults, those that need the same kind of system on the same one; a run that breaks gives a new one. */
export async function runFaults(faults: readonly Fault[], options: RunFaultsOptions): Promise<FaultRun[]> {
  const results: FaultRun[] = [];
  const kinds = [...new Set(faults.map(({ rig }) => rig ?? "plain"))];
  for (const kind of kinds) {
    let rig: Rig | undefined;
    try {
      for (const fault of faults.filter((one) => (one.rig ?? "plain") === kind)) {
        const why = fault.whyNot?.();
        if (why !== undefined) {
          options.onSkipped(fault, why);
          continue;
        }
        for (let i = 0; i < options.runs && !options.signal?.aborted; i++) {
          rig ??= await openRig(kind);
          const run = await runOnce(rig, fault, options.seed + i, options.load);
          results.push(run);
          options.onRun(fault, run);
          if (hasFailed(run) || ONCE.includes(kind)) {
            await rig.close();
            rig = undefined;
          }
        }
      }
    } finally {
      await rig?.close();
    }
  }
  return results;
}

/** Whether an oracle says no. */
export const hasFailed = (run: FaultRun): boolean => Object.values(run.oracles).includes(false);

async function runOnce(rig: Rig, fault: Fault, seed: number, load: LoadSize): Promise<FaultRun> {
  try {
    return await runFault(rig, fault, seed, load);
  } catch (error) {
    const nothing = { acked: 0, stored: 0, lost: 0, takenAway: 0, duplicated: 0, recoveredMs: -1 };
    const note = `the run broke: ${error instanceof Error ? error.message.slice(0, 2000) : String(error)}`;
    return { id: fault.id, seed, ...nothing, oracles: { O4: false }, note };
  }
}
