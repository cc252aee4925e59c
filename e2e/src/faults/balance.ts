import { patience } from "@sluice/testkit/patience";
import { waitFor } from "@sluice/testkit/wait-for";
import { askServices, type Rig } from "./rig.ts";

const TELEMETRY = "sluice:telemetry:{0}";
const REJECTED = "sluice:rejected:{0}";
/** Within what everything has to work again, on a machine that has nothing else to do. */
export const RECOVERY_MS = 30_000;
/** The same on this machine now. */
export const recoveryLimitMs = (): number => patience(RECOVERY_MS);
const OLDEST_MS = 5000;

/** Messages that the balance of each group lacks: accepted - stored - duplicate - quarantined - pending - unread - parked. */
export async function readImbalance({ bus }: Rig): Promise<Record<string, number>> {
  const missing: Record<string, number> = {};
  for (const stream of [TELEMETRY, REJECTED]) {
    for (const g of await bus.ledger(stream)) {
      missing[`${stream} ${g.group}`] =
        g.accepted - g.stored - g.duplicate - g.quarantined - g.pending - g.unread - g.parked;
    }
  }
  return missing;
}

/** Messages that readers have named as lost, over all groups. */
export async function readNamedLosses({ bus }: Rig): Promise<Record<string, number>> {
  return Object.fromEntries((await bus.ledger(TELEMETRY)).map(({ group, lost }) => [group, lost]));
}

async function readBacklog({ bus }: Rig) {
  const groups = [...(await bus.lag(TELEMETRY)).groups, ...(await bus.lag(REJECTED)).groups];
  return {
    messages: groups.reduce((sum, { pending, unread, parked }) => sum + pending + unread + parked, 0),
    oldestMs: Math.max(0, ...groups.map(({ oldestPendingMs }) => oldestPendingMs ?? 0)),
    mostUnread: Math.max(...groups.map(({ unread }) => unread)),
  };
}

/** Until every service is ready and nothing waits for long, whatever still arrives; the time it took, or undefined. */
export async function untilRecovered(rig: Rig, messagesPerSecond: number): Promise<number | undefined> {
  const startMs = performance.now();
  const recovered = async () => {
    if (!(await askServices(rig)).every(({ ready }) => ready)) return false;
    const { oldestMs, mostUnread } = await readBacklog(rig);
    return oldestMs < OLDEST_MS && mostUnread < (messagesPerSecond * OLDEST_MS) / 1000;
  };
  return (await within(recovered, "recovery")) ? Math.round(performance.now() - startMs) : undefined;
}

/** Until nothing is unread, pending or parked any more. */
export function untilDrained(rig: Rig): Promise<boolean> {
  return within(async () => (await readBacklog(rig)).messages === 0, "an empty backlog");
}

async function within(condition: () => Promise<boolean>, what: string): Promise<boolean> {
  try {
    await waitFor(condition, { timeoutMs: RECOVERY_MS, intervalMs: 100, what });
    return true;
  } catch {
    return false;
  }
}
