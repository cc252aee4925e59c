import { cpus, loadavg } from "node:os";

const MOST = 4;

/**
 * A bound in milliseconds for a machine that has nothing else to do; longer, up to four times, where more processes want
 * to run than there are processors, because then each of them has so much less of the machine.
 */
export const patience = (ms: number): number =>
  ms * Math.min(MOST, Math.max(1, (loadavg()[0] ?? 0) / cpus().length));
