import type { ValueType } from "@sluice/db";
import type { Value } from "@sluice/shared-types";

const STRICT_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** The type a sensor gets from a value; null from null, which fits every type. */
export function typeOfValue(value: Value): ValueType | null {
  if (value === null) return null;
  return typeof value !== "string" || isStrictNumber(value) ? "number" : "text";
}

/**
 * A value as a number sensor stores it: NaN for null, 0 and 1 for booleans, strict numeric strings read as numbers.
 * undefined where it is no number.
 */
export function toNumber(value: Value): number | undefined {
  if (typeof value === "number") return value;
  if (value === null) return Number.NaN;
  if (typeof value === "boolean") return value ? 1 : 0;
  return isStrictNumber(value) ? Number(value) : undefined;
}

/** Without the blanks, hexadecimals, commas and empty strings that `Number()` would take. */
function isStrictNumber(text: string): boolean {
  return text.length <= 64 && STRICT_NUMBER.test(text) && Number.isFinite(Number(text));
}
