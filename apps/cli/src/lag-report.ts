import type { Bus, GroupLag, StreamLag } from "@sluice/bus";

/** One look at a stream. */
export interface StreamSample {
  lag: StreamLag;
  /** Messages held in it; null where that cannot be told. */
  messages: number | null;
  /** When it was taken, monotonic milliseconds. */
  atMs: number;
}

/** How far a group is behind. null: the server does not know, or there is nothing to tell. */
export interface GroupReport extends GroupLag {
  /** Messages acknowledged per second. */
  rateOut: number;
  /** Seconds until it has caught up at these rates; null where it does not catch up. */
  drainSeconds: number | null;
  warning: boolean;
}

/** How a stream and its groups are doing. */
export interface StreamReport {
  stream: string;
  entries: number;
  messages: number | null;
  accepted: number;
  /** Messages accepted per second. */
  rateIn: number;
  groups: GroupReport[];
}

/** Memory of the bus's server. */
export interface MemoryReport {
  usedBytes: number | null;
  maxBytes: number | null;
  /** Share of the limit from which on the gateway refuses, until there is clearly room again. */
  highWater: number;
  pastHighWater: boolean;
  /** Until the limit at the present growth; null where there is no limit or no growth. */
  secondsUntilFull: number | null;
}

/** Reads one stream now; undefined where there is nothing of it. */
export async function sampleStream(bus: Bus, stream: string): Promise<StreamSample | undefined> {
  const lag = await bus.lag(stream);
  if (lag.entries === 0 && lag.groups.length === 0 && lag.accepted === 0) return undefined;
  const [[first], [last]] = await Promise.all([
    bus.browse(stream, { from: "-", count: 1 }),
    bus.browse(stream, { from: "-", count: 1, reverse: true }),
  ]);
  const known = first && last && first.ordinal > 0 && last.ordinal > 0;
  const messages = known ? last.ordinal + last.messages.length - first.ordinal : lag.entries === 0 ? 0 : null;
  return { lag, messages, atMs: performance.now() };
}

/** What two looks at a stream say together. */
export function reportStream(
  before: StreamSample | undefined,
  now: StreamSample,
  warnUnread: number,
): StreamReport {
  const seconds = before ? (now.atMs - before.atMs) / 1000 : 0;
  const rate = (delta: number) => (seconds > 0 ? Math.max(0, Math.round((delta / seconds) * 10) / 10) : 0);
  const rateIn = rate(now.lag.accepted - (before?.lag.accepted ?? 0));
  const groups = now.lag.groups.map((group) => {
    const old = before?.lag.groups.find((g) => g.group === group.group);
    const behind = group.unread + group.pending + group.parked;
    const done = now.lag.accepted - behind;
    const doneBefore = old && before ? before.lag.accepted - old.unread - old.pending - old.parked : done;
    const rateOut = rate(done - doneBefore);
    const drainSeconds = behind === 0 ? 0 : rateOut > rateIn ? Math.ceil(behind / (rateOut - rateIn)) : null;
    return { ...group, rateOut, drainSeconds, warning: group.unread >= warnUnread };
  });
  const { stream, entries, accepted } = now.lag;
  return { stream, entries, messages: now.messages, accepted, rateIn, groups };
}

/** What two looks say about the server's memory. */
export function reportMemory(
  before: StreamSample | undefined,
  now: StreamSample,
  highWater: number,
): MemoryReport {
  const { usedBytes, maxBytes } = now.lag;
  let secondsUntilFull: number | null = null;
  const usedBefore = before?.lag.usedBytes ?? null;
  if (before && usedBytes !== null && maxBytes !== null && usedBefore !== null) {
    const growth = (usedBytes - usedBefore) / ((now.atMs - before.atMs) / 1000);
    if (growth > 0) secondsUntilFull = Math.max(0, Math.round((maxBytes - usedBytes) / growth));
  }
  const pastHighWater = usedBytes !== null && maxBytes !== null && usedBytes >= maxBytes * highWater;
  return { usedBytes, maxBytes, highWater, pastHighWater, secondsUntilFull };
}
