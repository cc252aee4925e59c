/** Buckets of one sensor, [fromMs, toMs), to be rolled up anew. */
export interface RollupRange {
  sensorId: number;
  fromMs: number;
  toMs: number;
  /** What is found there was there before: it does not count as late. */
  rebuild: boolean;
}

/** Joins ranges of a sensor and kind that overlap or touch. Those that rebuild come last. */
export function joinRanges(ranges: readonly RollupRange[]): RollupRange[] {
  const joined: RollupRange[] = [];
  const sorted = ranges
    .filter(({ fromMs, toMs }) => fromMs < toMs)
    .sort((a, b) => Number(a.rebuild) - Number(b.rebuild) || a.sensorId - b.sensorId || a.fromMs - b.fromMs);
  for (const range of sorted) {
    const last = joined.at(-1);
    if (last?.sensorId === range.sensorId && last.rebuild === range.rebuild && range.fromMs <= last.toMs) {
      last.toMs = Math.max(last.toMs, range.toMs);
    } else joined.push({ ...range });
  }
  return joined;
}
