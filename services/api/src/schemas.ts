import { DeviceId, parseTime } from "@sluice/shared-types";
import { z } from "zod";

/** A whole number in a URL, from 1 to `max`. */
export const limit = (max: number, usual: number) =>
  z
    .string()
    .regex(/^[1-9]\d{0,8}$/, `is a whole number from 1 to ${max}`)
    .transform(Number)
    .pipe(z.int().max(max))
    .default(usual);

/** A number that names something. */
export const RowId = z
  .string()
  .regex(/^[1-9]\d{0,14}$/, "is a whole number")
  .transform(Number);

/** An instant in a URL: ISO 8601 or epoch; becomes microseconds. */
export const Instant = z
  .string()
  .max(40)
  .transform((text, context) => {
    const timeUs = parseTime(text);
    if (timeUs !== undefined && Math.abs(timeUs) < 8.64e18 / 1000) return timeUs;
    context.addIssue({
      code: "custom",
      message: "is a time: ISO 8601, or seconds or milliseconds since 1970",
    });
    return z.NEVER;
  });

/** Path of a device. */
export const DeviceParams = z.object({ id: DeviceId });

/** Path of something with a number. */
export const RowParams = z.object({ id: RowId });

/** Name of a field of a device. */
export const FieldName = z.string().min(1).max(128);

const DAY_US = 86_400_000_000;
const TWO_DIGITS = Array.from({ length: 60 }, (_, n) => String(n).padStart(2, "0"));
let latestDay = Number.NaN;
let latestDate = "";

/** Instants as people read them. A chart has a thousand of them: its dates are made once a day, which takes a fifth of the time. */
export const iso = (timeUs: number): string => {
  const day = Math.floor(timeUs / DAY_US);
  if (day !== latestDay) {
    latestDay = day;
    latestDate = new Date((day * DAY_US) / 1000).toISOString().slice(0, -"00:00:00.000Z".length);
  }
  const ofDayUs = timeUs - day * DAY_US;
  const seconds = Math.floor(ofDayUs / 1_000_000);
  const us = ofDayUs - seconds * 1_000_000;
  const [hour, minute, second] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const fraction = us === 0 ? "000" : String(us).padStart(6, "0").replace(/000$/, "");
  return `${latestDate}${TWO_DIGITS[hour]}:${TWO_DIGITS[minute]}:${TWO_DIGITS[second]}.${fraction}Z`;
};

/** The newest `now` minus `usualMs` where nothing is said. @throws nothing; `undefined` where from is not before to */
export function rangeOf(
  query: { from?: number | undefined; to?: number | undefined },
  usualMs: number,
): { fromUs: number; toUs: number } | undefined {
  const toUs = query.to ?? Date.now() * 1000;
  const fromUs = query.from ?? toUs - usualMs * 1000;
  return fromUs < toUs ? { fromUs, toUs } : undefined;
}

/** An IANA time zone. */
export const TimeZone = z.string().refine((zone) => {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}, "is an IANA time zone such as Europe/Amsterdam");
