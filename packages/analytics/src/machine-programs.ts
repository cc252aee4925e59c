import { cutStretches, type Held } from "./stretches.ts";

const DAY_MS = 86_400_000;
const PROGRAMS = 1000;

/** How long a program ran on a day (UTC). */
export interface ProgramTime {
  readonly dayMs: number;
  readonly program: number;
  readonly seconds: number;
}

/** Whole seconds of each program on each day. Programs are 0 to 999; any other value is none. */
export function programTimes(held: readonly Held[]): ProgramTime[] {
  const times = new Map<string, { dayMs: number; program: number; ms: number }>();
  for (const { fromMs, toMs, value } of cutStretches(held, DAY_MS)) {
    if (!(value >= 0 && value < PROGRAMS)) continue;
    const program = Math.trunc(value);
    const dayMs = Math.floor(fromMs / DAY_MS) * DAY_MS;
    const key = `${dayMs}/${program}`;
    const time = times.get(key);
    if (time) time.ms += toMs - fromMs;
    else times.set(key, { dayMs, program, ms: toMs - fromMs });
  }
  return [...times.values()]
    .map(({ dayMs, program, ms }) => ({ dayMs, program, seconds: Math.round(ms / 1000) }))
    .sort((a, b) => a.dayMs - b.dayMs || a.program - b.program);
}
