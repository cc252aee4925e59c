import type { KeyValue } from "@sluice/bus";
import type { LatestReading } from "@sluice/db";
import { OutageError } from "@sluice/shared-types";

/** How old an answer may be. */
const FRESH_MS = 1000;
const MAX_CACHED = 20_000;

/** A newest reading as it is answered: its time is ISO text. */
export type ShownReading = Omit<LatestReading, "time"> & { time: string | null };

/**
 * Newest readings of devices, at most a second old: asked once for all who want to know at the same time, shared
 * between instances through Redis, and without Redis still there.
 */
export function openLatest(
  keyValue: Pick<KeyValue, "find" | "remember">,
  read: (device: string) => Promise<LatestReading[]>,
): (device: string) => Promise<ShownReading[]> {
  const known = new Map<string, { untilMs: number; value: Promise<ShownReading[]> }>();
  const ask = async (device: string): Promise<ShownReading[]> => {
    const key = `latest:${device}`;
    const shared = await keyValue.find(key).catch(ignoreOutage);
    if (shared !== undefined) return JSON.parse(shared) as ShownReading[];
    const readings = (await read(device)).map((row) => ({ ...row, time: row.time?.toISOString() ?? null }));
    if (readings.length > 0) keyValue.remember(key, JSON.stringify(readings), FRESH_MS).catch(ignoreOutage);
    return readings;
  };
  return (device) => {
    const nowMs = Date.now();
    const entry = known.get(device);
    if (entry && entry.untilMs > nowMs) return entry.value;
    if (known.size >= MAX_CACHED) known.clear();
    const value = ask(device);
    known.set(device, { untilMs: nowMs + FRESH_MS / 4, value });
    value.catch(() => known.delete(device));
    return value;
  };
}

function ignoreOutage(error: unknown): undefined {
  if (error instanceof OutageError) return undefined; // PostgreSQL knows it too
  throw error;
}
