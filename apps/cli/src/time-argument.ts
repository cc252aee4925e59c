import { parseTime } from "@sluice/shared-types";
import { InvalidArgumentError } from "commander";

/** A parser for a flag that is an instant; gives microseconds. */
export function timeArgument(text: string): number {
  const timeUs = parseTime(text);
  if (timeUs === undefined)
    throw new InvalidArgumentError("Allowed: an ISO 8601 time such as 2020-01-01, in UTC.");
  return timeUs;
}
