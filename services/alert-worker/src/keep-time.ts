import { setTimeout as delay } from "node:timers/promises";
import {
  escalateAlerts,
  noteListening,
  purgeAlertReceipts,
  purgeCommands,
  purgeNotifications,
  raiseOffline,
} from "@sluice/db";
import { GROUPS, OutageError } from "@sluice/shared-types";
import { inTerm } from "./judge-batch.ts";
import type { Term } from "./lead.ts";
import type { WatchDeps } from "./watch.ts";

const TICK_MS = 1_000;
const TIDY_MS = 3_600_000;

/** Until the term ends: raises alerts for devices that are silent, escalates what nobody acknowledges, forgets what is old. */
export async function keepTime(
  { db, bus, log, metrics }: WatchDeps,
  term: Term,
  streams: readonly string[],
  judgedUs: ReadonlyMap<string, number>,
): Promise<void> {
  let tidiedMs = Number.NEGATIVE_INFINITY;
  while (!term.signal.aborted) {
    try {
      const clockMs = await readClock();
      const listeningSinceMs = await noteListening(db);
      const { offline, escalated } = await inTerm(term, db, async (tx) => ({
        offline: clockMs === undefined ? 0 : await raiseOffline(tx, { clockMs, listeningSinceMs }),
        escalated: await escalateAlerts(tx),
      }));
      metrics.timed("offline", offline);
      metrics.timed("escalated", escalated);
      if (performance.now() - tidiedMs > TIDY_MS) {
        await purgeNotifications(db);
        await purgeCommands(db);
        await purgeAlertReceipts(db);
        tidiedMs = performance.now();
      }
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
      log.debug({ err: error }, "time is looked at later");
    }
    await delay(TICK_MS, undefined, { signal: term.signal }).catch(() => {});
  }

  /**
   * Up to when it is known what devices said: now, where every message is judged; else when the last judged one came, so
   * that a backlog of ours makes no device look silent. Undefined where that is not known yet.
   */
  async function readClock(): Promise<number | undefined> {
    const nowMs = Date.now();
    let clockMs = nowMs;
    for (const stream of streams) {
      const lag = (await bus.lag(stream)).groups.find(({ group }) => group === GROUPS.alerts);
      if (!lag) return undefined;
      if (lag.unread + lag.pending + lag.parked === 0) continue;
      const lastUs = judgedUs.get(stream);
      if (lastUs === undefined) return undefined;
      clockMs = Math.min(clockMs, lastUs / 1000);
    }
    return clockMs;
  }
}
