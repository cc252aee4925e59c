import { parseTime } from "@sluice/shared-types";
import { InvalidArgumentError } from "commander";

/** A parser for a flag that is an instant; gives microseconds. */
export function timeArgument(text: string): number {
  const timeUs = parseTime(text);
  if (timeUs === undefined)
    throw new InvalidArgumentError("Allowed: an ISO 8601 time such as 2020-01-01, in UTC.");
  return timeUs;
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A parser for a flag that is how long ago, or an instant. */
export function sinceArgument(text: string): Date {
  const ago = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text.trim());
  if (ago) return new Date(Date.now() - Number(ago[1]) * (UNITS_MS[ago[2] ?? ""] ?? 0));
  const timeUs = parseTime(text);
  if (timeUs !== undefined) return new Date(timeUs / 1000);
  throw new InvalidArgumentError("Allowed: a duration such as 30m, 2h or 7d, or an ISO 8601 time.");
}
