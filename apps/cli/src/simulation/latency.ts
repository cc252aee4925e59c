/** Latencies in logarithmic buckets: any number of them in constant memory, percentiles within 2 %. */
export interface Latencies {
  add(ms: number): void;
  /** Percentile in milliseconds, `p` from 0 to 1; null where nothing was added. */
  percentile(p: number): number | null;
  max(): number | null;
}

const GROWTH = 1.02;
const SMALLEST_MS = 0.01;

/** See {@link Latencies}. */
export function createLatencies(): Latencies {
  const buckets = new Map<number, number>();
  let count = 0;
  let maxMs: number | null = null;
  return {
    add(ms) {
      const bucket = Math.max(
        0,
        Math.ceil(Math.log(Math.max(ms, SMALLEST_MS) / SMALLEST_MS) / Math.log(GROWTH)),
      );
      buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
      count++;
      maxMs = Math.max(maxMs ?? 0, ms);
    },
    max: () => (maxMs === null ? null : Math.round(maxMs * 100) / 100),
    percentile(p) {
      if (count === 0) return null;
      let left = Math.ceil(p * count);
      for (const bucket of [...buckets.keys()].sort((a, b) => a - b)) {
        left -= buckets.get(bucket) ?? 0;
        if (left <= 0) return Math.round(SMALLEST_MS * GROWTH ** bucket * 100) / 100;
      }
      return maxMs;
    },
  };
}
