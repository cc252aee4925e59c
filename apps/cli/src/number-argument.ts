import { InvalidArgumentError } from "commander";

/** A parser for a flag that takes a whole number from `min` to `max`; anything else is a usage error naming the range. */
export function integerBetween(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text.trim()) || !Number.isSafeInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(`Allowed: a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** A parser for a flag that takes a number from `min` to `max`; anything else is a usage error naming the range. */
export function numberBetween(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (
      text.trim() === "" ||
      !/^[+-]?[\d.]+(e[+-]?\d+)?$/i.test(text.trim()) ||
      !(value >= min && value <= max)
    ) {
      throw new InvalidArgumentError(`Allowed: a number from ${min} to ${max}.`);
    }
    return value;
  };
}

const UNITS_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A parser for a flag that takes a duration such as `30s`, `15m`, `1h` or `7d`; gives milliseconds. */
export function durationUpTo(maxText: string): (text: string) => number {
  const read = (text: string) => {
    const m = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text.trim());
    return m ? Number(m[1]) * UNITS_MS[m[2] as keyof typeof UNITS_MS] : Number.NaN;
  };
  const maxMs = read(maxText);
  return (text) => {
    const ms = text.trim() === "0" ? 0 : read(text);
    if (!(ms >= 0 && ms <= maxMs)) {
      throw new InvalidArgumentError(`Allowed: 0 to ${maxText}, with a unit: 30s, 15m, 1h, 7d.`);
    }
    return ms;
  };
}
