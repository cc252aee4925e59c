/** Count, mean and sum of squared deviations from it, with the extremes. `min` and `max` mean nothing where n is 0. */
export interface Moments {
  readonly n: number;
  readonly mean: number;
  /** Sum of (value - mean)². */
  readonly m2: number;
  readonly min: number;
  readonly max: number;
}

/** The moments of nothing: merging it changes nothing. */
export const NO_MOMENTS: Moments = { n: 0, mean: 0, m2: 0, min: Infinity, max: -Infinity };

/** Moments of some values, by Welford's update: deviations are never the difference of two large sums. */
export function momentsOf(values: Iterable<number>): Moments {
  let n = 0;
  let mean = 0;
  let m2 = 0;
  let min = Infinity;
  let max = -Infinity;
  for (const value of values) {
    n++;
    const delta = value - mean;
    mean += delta / n;
    m2 += delta * (value - mean);
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { n, mean, m2, min, max };
}

/**
 * The moments of two sets together, from the moments of each.
 * Chan, Golub, LeVeque: Updating Formulae and a Pairwise Algorithm for Computing Sample Variances (1979), eq. 2.1.
 */
export function mergeMoments(a: Moments, b: Moments): Moments {
  if (a.n === 0) return b;
  if (b.n === 0) return a;
  const n = a.n + b.n;
  const delta = b.mean - a.mean;
  return {
    n,
    mean: a.mean + delta * (b.n / n),
    m2: a.m2 + b.m2 + delta * delta * ((a.n * b.n) / n),
    min: Math.min(a.min, b.min),
    max: Math.max(a.max, b.max),
  };
}

/** Standard deviation of the sample (n - 1); undefined for fewer than two values, where there is none. */
export function sampleDeviation({ n, m2 }: Moments): number | undefined {
  return n < 2 ? undefined : Math.sqrt(m2 / (n - 1));
}
