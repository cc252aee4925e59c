/** Ordinals as sorted, disjoint, inclusive ranges. */
export type Ranges = [from: number, to: number][];

/** How many ordinals there are. */
export function countOrdinals(ranges: Ranges): number {
  return ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);
}

/** Whether any ordinal of `from`..`to` is in `ranges`. */
export function overlaps(ranges: Ranges, from: number, to: number): boolean {
  return ranges.some(([a, b]) => a <= to && from <= b);
}

/** `ranges` and `added` together. */
export function joinRanges(ranges: Ranges, added: Ranges): Ranges {
  const all = [...ranges, ...added].sort((a, b) => a[0] - b[0]);
  const joined: Ranges = [];
  for (const [from, to] of all) {
    const last = joined.at(-1);
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  return joined;
}

/** What of `from`..`to` is not in `ranges`. */
export function missingRanges(ranges: Ranges, from: number, to: number): Ranges {
  const missing: Ranges = [];
  let next = from;
  for (const [a, b] of ranges) {
    if (a > to) break;
    if (a > next) missing.push([next, a - 1]);
    next = Math.max(next, b + 1);
  }
  if (next <= to) missing.push([next, to]);
  return missing;
}
