import type { TimeClaim } from "./payload.ts";

/** Which clock a sample's time comes from; anything but `device` and `age` is the server's. */
export type Clock = "device" | "age" | "none" | "past" | "future" | "unparsable";

/** Bounds on what a device may claim. */
export interface ClockPolicy {
  /** Earlier device times are taken for an unset clock. */
  minUs: number;
  /** How far ahead of the server a device may be. */
  maxFutureMs: number;
  /** IANA zone of times without an offset. */
  timeZone: string;
}

/** 2020-01-01, one hour ahead, UTC. */
export const DEFAULT_CLOCK_POLICY: ClockPolicy = {
  minUs: Date.UTC(2020, 0, 1) * 1000,
  maxFutureMs: 3_600_000,
  timeZone: "UTC",
};

/** The instant a sample is stored under. */
export interface ResolvedTime {
  /** Microseconds since the epoch. */
  timeUs: number;
  clock: Clock;
}

/**
 * Decides the time of a sample received at `receivedUs`: its own where plausible, else its age, else the
 * server's. Never fails: an implausible time is named by `clock`.
 */
export function resolveTime(claim: TimeClaim, receivedUs: number, policy: ClockPolicy): ResolvedTime {
  let clock: Clock = "none";
  if (claim.time !== undefined && claim.time !== null) {
    const timeUs = parseTime(claim.time, policy.timeZone);
    if (timeUs === undefined) clock = "unparsable";
    else if (timeUs < policy.minUs) clock = "past";
    else if (timeUs > receivedUs + policy.maxFutureMs * 1000) clock = "future";
    else return { timeUs, clock: "device" };
  }
  if (claim.ageMs !== undefined) {
    const timeUs = receivedUs - Math.round(claim.ageMs * 1000);
    if (timeUs >= policy.minUs) return { timeUs, clock: "age" };
  }
  return { timeUs: receivedUs, clock };
}

const ISO =
  /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)? ?(?:([Zz])|([+-])(\d\d):?(\d\d)?)?$/;

/**
 * Parses epoch seconds, milliseconds, microseconds or nanoseconds (told apart by size, also as a numeric
 * string) or ISO 8601 with or without an offset; without one it is local time in `timeZone`.
 * Returns microseconds since the epoch; undefined where it is none of these or no real calendar date.
 */
export function parseTime(value: unknown, timeZone = "UTC"): number | undefined {
  if (typeof value === "number") return epochToUs(value);
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  if (/^-?\d+(\.\d+)?$/.test(text)) return epochToUs(Number(text));
  const m = ISO.exec(text);
  if (!m) return undefined;
  const [year, month, day, hour, minute, second] = [m[1], m[2], m[3], m[4] ?? 0, m[5] ?? 0, m[6] ?? 0].map(
    Number,
  ) as [number, number, number, number, number, number];
  const ms = Date.UTC(year, month - 1, day, hour, minute, second);
  const back = new Date(ms);
  if (
    back.getUTCMonth() !== month - 1 ||
    back.getUTCDate() !== day ||
    hour > 23 ||
    minute > 59 ||
    second > 59
  ) {
    return undefined; // 30 February rolls over to 2 March in Date
  }
  const fractionUs = m[7] ? Number(m[7].padEnd(6, "0").slice(0, 6)) : 0;
  let offsetMs = 0;
  if (m[9]) offsetMs = (m[9] === "-" ? -1 : 1) * (Number(m[10]) * 60 + Number(m[11] ?? 0)) * 60_000;
  else if (!m[8] && timeZone !== "UTC") offsetMs = zoneOffsetMs(ms, timeZone);
  return (ms - offsetMs) * 1000 + fractionUs;
}

function epochToUs(n: number): number | undefined {
  if (!Number.isFinite(n)) return undefined;
  const size = Math.abs(n);
  const us = size < 1e11 ? n * 1e6 : size < 1e14 ? n * 1e3 : size < 1e17 ? n : n / 1e3;
  return Math.round(us);
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** How far local time in `timeZone` is ahead of UTC at instant `ms`. @throws RangeError on an unknown zone */
export function offsetAt(ms: number, timeZone: string): number {
  let format = formats.get(timeZone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    formats.set(timeZone, format);
  }
  const part: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(ms)) part[type] = Number(value);
  const local = Date.UTC(
    part.year ?? 0,
    (part.month ?? 1) - 1,
    part.day,
    part.hour,
    part.minute,
    part.second,
  );
  return local - Math.floor(ms / 1000) * 1000;
}

/** Offset of a local wall time: the earlier instant where the clock was set back, the later where it jumped. */
function zoneOffsetMs(localMs: number, timeZone: string): number {
  const before = offsetAt(localMs - 86_400_000, timeZone);
  const after = offsetAt(localMs + 86_400_000, timeZone);
  if (before === after) return before;
  if (offsetAt(localMs - before, timeZone) === before) return before;
  return offsetAt(localMs - after, timeZone) === after ? after : before;
}
