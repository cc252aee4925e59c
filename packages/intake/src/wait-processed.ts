import { setTimeout as delay } from "node:timers/promises";
import type { Bus, GroupLag } from "@sluice/bus";
import { GROUPS, OutageError } from "@sluice/shared-types";

/** The last entry that has to be processed on a stream, and when it became durable (monotonic milliseconds). */
export interface Mark {
  entry: string;
  atMs: number;
}

const POLL_MS = 150;
// what the server says of an entry's age is rounded
const ROUNDING_MS = 5;

/**
 * Waits until the group `postgres` has acknowledged everything up to the marks. Resolves true then; false when
 * `signal` aborts or nothing has moved for `stallMs`.
 */
export async function waitProcessed(
  bus: Bus,
  marks: ReadonlyMap<string, Mark>,
  options: { signal: AbortSignal; stallMs: number; onWaiting(messages: number): void },
): Promise<boolean> {
  let movedMs = performance.now();
  let before = "";
  while (!options.signal.aborted) {
    const waiting = await look(bus, marks);
    if (waiting?.done) return true;
    if (waiting) options.onWaiting(waiting.messages);
    if (waiting && waiting.position !== before) {
      before = waiting.position;
      movedMs = performance.now();
    }
    if (performance.now() - movedMs > options.stallMs) return false;
    await delay(POLL_MS, undefined, { signal: options.signal }).catch(() => {});
  }
  return false;
}

async function look(bus: Bus, marks: ReadonlyMap<string, Mark>) {
  let done = true;
  let messages = 0;
  let position = "";
  try {
    for (const [stream, mark] of marks) {
      // before asking: an answer that comes late may not make what is pending look younger than the mark
      const askedMs = performance.now();
      const group = (await bus.lag(stream)).groups.find((g) => g.group === GROUPS.postgres);
      if (!group || !isProcessed(group, mark, askedMs)) done = false;
      messages += (group?.unread ?? 0) + (group?.pending ?? 0);
      position += `${group?.lastDeliveredId} ${group?.pending} `;
    }
    return { done, messages, position };
  } catch (error) {
    if (error instanceof OutageError) return undefined;
    throw error;
  }
}

/** Everything was delivered, and what is still pending was appended later than the mark. */
function isProcessed(group: GroupLag, { entry, atMs }: Mark, askedMs: number): boolean {
  if (compareIds(group.lastDeliveredId, entry) < 0) return false;
  if (group.pending === 0) return true;
  return group.oldestPendingMs === null || group.oldestPendingMs + ROUNDING_MS < askedMs - atMs;
}

/** Order of entry ids: numbers joined by `-`. */
function compareIds(a: string, b: string): number {
  const [one, two] = [a.split("-").map(Number), b.split("-").map(Number)];
  for (let i = 0; i < Math.max(one.length, two.length); i++) {
    const difference = (one[i] ?? 0) - (two[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
