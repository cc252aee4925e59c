/** Numbers, spans and instants as people read them; all of one width in a column. */

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 12,345; what is not known is a dash. */
export const count = (value: number | null | undefined): string =>
  value === null || value === undefined ? "–" : COUNT.format(value);

/** Messages per second. */
export const rate = (perSecond: number | null): string => {
  if (perSecond === null) return "–";
  if (perSecond === 0) return "0/s";
  return perSecond < 10 ? `${perSecond.toFixed(1)}/s` : `${SHORT.format(perSecond)}/s`;
};

/** A reading: as many digits as say something. */
export function value(reading: number | string | boolean | null | undefined): string {
  if (reading === null || reading === undefined) return "–";
  if (typeof reading !== "number") return String(reading);
  return Number.isInteger(reading) ? COUNT.format(reading) : String(Number(reading.toPrecision(6)));
}

const SPANS: [number, string][] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1000, "s"],
];

/** 340 ms, 12 s, 5 min, 3.5 h, 2 d. */
export function span(ms: number): string {
  const size = Math.abs(ms);
  for (const [unit, name] of SPANS) {
    if (size < unit) continue;
    const amount = ms / unit;
    return `${Math.abs(amount) < 10 && name !== "s" ? Number(amount.toFixed(1)) : Math.round(amount)} ${name}`;
  }
  return `${Math.round(ms)} ms`;
}

/** How long ago, at `nowMs`. */
export function ago(time: string | null | undefined, nowMs = Date.now()): string {
  if (!time) return "never";
  const ms = nowMs - Date.parse(time);
  return Math.abs(ms) < 2000 ? "just now" : ms < 0 ? `in ${span(-ms)}` : `${span(ms)} ago`;
}

const CLOCK = new Intl.DateTimeFormat("sv", { dateStyle: "short", timeStyle: "medium" });

/** 2026-02-11 14:05:09, in the viewer's zone. */
export const instant = (time: string | number | null | undefined): string =>
  time === null || time === undefined ? "–" : CLOCK.format(new Date(time));

/** 12.3 MB. */
export function bytes(size: number | null): string {
  if (size === null) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = Math.min(units.length - 1, size < 1 ? 0 : Math.floor(Math.log10(size) / 3));
  return `${Number((size / 1000 ** step).toPrecision(3))} ${units[step]}`;
}
