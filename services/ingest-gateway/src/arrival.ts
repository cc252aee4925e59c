import { type Clock, type ClockPolicy, resolveTime, type TimeClaim } from "@sluice/shared-types";

/** Hands out arrival times that no two messages of a device share. */
export interface Arrivals {
  /**
   * Microseconds since the epoch, later than every time given to `device` before: the first of `count`
   * consecutive ones that are the caller's. Never runs ahead of the clock but by the number of messages that
   * came within one microsecond or while the clock stood back.
   */
  take(device: string, count: number): number;
  /** The server's clock, in microseconds. */
  now(): number;
}

const MAX_DEVICES = 200_000;

/** The server's clock in microseconds. */
export type Clocked = () => number;

/** Now, to the microsecond: two processes that serve one device within a millisecond are unlikely to agree. */
const nowUs: Clocked = () => Date.now() * 1000 + Math.floor((performance.now() * 1000) % 1000);

/** Opens an empty book of arrivals. Its memory is bounded: devices heard of longest ago are forgotten. */
export function createArrivals(clock: Clocked = nowUs): Arrivals {
  const last = new Map<string, number>();
  return {
    now: clock,
    take(device, count) {
      const previous = last.get(device);
      const now = clock();
      const first = previous !== undefined && previous >= now ? previous + 1 : now;
      if (previous === undefined && last.size >= MAX_DEVICES) forgetOld(last, now);
      last.set(device, first + count - 1);
      return first;
    },
  };
}

function forgetOld(last: Map<string, number>, now: number): void {
  for (const [device, timeUs] of last) if (timeUs < now - 60_000_000) last.delete(device);
}

/** Times of a message's samples. */
export interface Times {
  timesUs: (number | null)[];
  clock: Clock | Clock[];
  /** How many samples have no plausible time of their own. */
  fromServer: number;
}

/**
 * Gives every sample its time for a message that arrived at `receivedUs`. Samples without one of their own
 * get consecutive microseconds from `receivedUs` on, in order.
 */
export function timesOf(
  claims: readonly (TimeClaim | undefined)[],
  receivedUs: number,
  policy: ClockPolicy,
): Times {
  const timesUs: (number | null)[] = [];
  const clocks: Clock[] = [];
  let fromServer = 0;
  let arrived = 0;
  let same = true;
  // A plain loop: claims has holes where samples were refused.
  for (let i = 0; i < claims.length; i++) {
    const claim = claims[i];
    if (claim === undefined) {
      timesUs.push(null);
      clocks.push(clocks[0] ?? "none");
      continue;
    }
    const { timeUs, clock } = resolveTime(claim, receivedUs, policy);
    if (clock !== "device") fromServer++;
    timesUs.push(clock === "device" || clock === "age" ? timeUs : timeUs + arrived++);
    clocks.push(clock);
    if (clock !== clocks[0]) same = false;
  }
  return { timesUs, clock: same ? (clocks[0] ?? "none") : clocks, fromServer };
}
