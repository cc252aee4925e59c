const formats = new Map<string, Intl.DateTimeFormat>();
const BRACKET_MS = 16 * 3_600_000;

/** A day as a place on earth has it: from its first instant to the first instant of the next day. */
export interface SiteDay {
  /** `YYYY-MM-DD`. */
  readonly date: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Calendar date (`YYYY-MM-DD`) of an instant in an IANA time zone. @throws RangeError on an unknown zone */
export function dateOf(atMs: number, zone: string): string {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-CA", {
      timeZone: zone,
      calendar: "iso8601",
      numberingSystem: "latn",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
    });
    formats.set(zone, format);
  }
  return format.format(atMs);
}

/**
 * First instant of a calendar date in a zone. Where midnight is left out by a clock change it is the instant of the
 * change; where midnight comes twice it is the first. @throws RangeError on an unknown zone or a date that is none
 */
export function startOfDate(date: string, zone: string): number {
  const midnightMs = Date.parse(`${date}T00:00:00Z`);
  if (Number.isNaN(midnightMs) || new Date(midnightMs).toISOString().slice(0, 10) !== date) {
    throw new RangeError(`'${date}' is not a date (YYYY-MM-DD)`);
  }
  if (zone === "UTC") return midnightMs;
  // no zone is further than 14 h from UTC, so the first instant of the date is within the bracket
  let before = midnightMs - BRACKET_MS;
  let within = midnightMs + BRACKET_MS;
  while (within - before > 1) {
    const middle = Math.floor((before + within) / 2);
    if (dateOf(middle, zone) >= date) within = middle;
    else before = middle;
  }
  return within;
}

/** The calendar date after `date`. */
export function nextDate(date: string): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);
}

/** Every day of a zone that has an instant in [fromMs, toMs), in order. A day that a zone skipped is not among them. */
export function siteDays(fromMs: number, toMs: number, zone: string): SiteDay[] {
  const days: SiteDay[] = [];
  if (!(fromMs < toMs)) return days;
  let date = dateOf(fromMs, zone);
  let startMs = startOfDate(date, zone);
  while (startMs < toMs) {
    const next = nextDate(date);
    const endMs = startOfDate(next, zone);
    if (endMs > startMs) days.push({ date, fromMs: startMs, toMs: endMs });
    date = next;
    startMs = endMs;
  }
  return days;
}
