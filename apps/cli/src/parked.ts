import { setTimeout as delay } from "node:timers/promises";
import { openBus } from "@sluice/bus";
import { streamsOf } from "./installation.ts";

const PATIENCE_MS = 2_000;

/**
 * Messages that were taken off the bus for a group that is far behind, by group; groups without are left out.
 * Undefined where the bus does not tell within two seconds.
 */
export async function findParked(busUrl: string): Promise<Record<string, number> | undefined> {
  const timer = new AbortController();
  const late = delay(PATIENCE_MS, undefined, { signal: timer.signal }).catch(() => undefined);
  const parked = await Promise.race([readParked(busUrl).catch(() => undefined), late]);
  timer.abort();
  return parked;
}

async function readParked(busUrl: string): Promise<Record<string, number>> {
  const bus = await openBus(busUrl);
  try {
    const parked: Record<string, number> = {};
    for (const stream of streamsOf("telemetry")) {
      for (const { group, parked: messages } of (await bus.lag(stream)).groups)
        if (messages > 0) parked[group] = (parked[group] ?? 0) + messages;
    }
    return parked;
  } finally {
    await bus.close();
  }
}
