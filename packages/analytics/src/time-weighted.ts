/** A value from an instant on; `null` says that from then on nothing is known (an error reading). */
export interface Sample {
  readonly atMs: number;
  readonly value: number | null;
}

/** The stretch that a time-weighted figure is asked for, and how long a value may be taken to last. */
export interface HoldOptions {
  readonly fromMs: number;
  readonly toMs: number;
  /** A value holds no longer than this after its reading; without it, until the next reading. */
  readonly maxHoldMs?: number;
}

/** How long something was known, and its integral over that time. */
export interface HeldTime {
  readonly knownMs: number;
  /** Sum of value times milliseconds. */
  readonly integral: number;
}

/**
 * Integrates samples as steps: each value holds until the next sample. Samples before `fromMs` are carried in,
 * samples at or after `toMs` are not looked at. Samples must be in order of time.
 */
export function integrateSteps(samples: readonly Sample[], options: HoldOptions): HeldTime {
  let knownMs = 0;
  let integral = 0;
  forEachStep(samples, options, (value, lengthMs) => {
    knownMs += lengthMs;
    integral += value * lengthMs;
  });
  return { knownMs, integral };
}

/** Mean weighted by how long each value held; undefined where nothing was known. See {@link integrateSteps}. */
export function timeWeightedMean(samples: readonly Sample[], options: HoldOptions): number | undefined {
  const { knownMs, integral } = integrateSteps(samples, options);
  return knownMs === 0 ? undefined : integral / knownMs;
}

/** Calls `visit` with every known value and how much of the stretch it held. See {@link integrateSteps}. */
export function forEachStep(
  samples: readonly Sample[],
  { fromMs, toMs, maxHoldMs = Infinity }: HoldOptions,
  visit: (value: number, lengthMs: number) => void,
): void {
  for (const [i, { atMs, value }] of samples.entries()) {
    if (atMs >= toMs) break;
    const endMs = Math.min(samples[i + 1]?.atMs ?? toMs, toMs, atMs + maxHoldMs);
    const lengthMs = endMs - Math.max(atMs, fromMs);
    if (value !== null && lengthMs > 0) visit(value, lengthMs);
  }
}
