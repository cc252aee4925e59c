import { DEVICE_ID } from "@sluice/shared-types";
import { InvalidArgumentError } from "commander";
import { printable } from "./output.ts";

/** A parser for an argument that is a device id. */
export function deviceIdArgument(text: string): string {
  if (!DEVICE_ID.test(text)) {
    throw new InvalidArgumentError(
      `'${printable(text, 70)}' is no device id. Allowed: 1-64 letters, digits, '_' or '-'.`,
    );
  }
  return text;
}

/** A parser for a flag that is an IANA time zone. */
export function timeZoneArgument(text: string): string {
  try {
    new Intl.DateTimeFormat("en", { timeZone: text });
    return text;
  } catch {
    throw new InvalidArgumentError("Allowed: an IANA time zone such as Europe/Amsterdam or UTC.");
  }
}

/** A parser for the type of a message: InfluxDB's measurement and the last level of a topic. */
export function typeArgument(text: string): string {
  if (!/^[A-Za-z0-9.-][A-Za-z0-9_.-]{0,63}$/.test(text)) {
    throw new InvalidArgumentError("Allowed: 1-64 letters, digits, '_', '-' or '.', not starting with '_'.");
  }
  return text;
}
