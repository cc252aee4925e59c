/** A point of a picture. `min` and `max` are what it stands for, where it stands for several. */
export interface Point {
  timeUs: number;
  value: number | null;
  min?: number;
  max?: number;
  n?: number;
}

/**
 * Largest-triangle-three-buckets (Steinarsson 2013): keeps the points that shape the line, the first and last among
 * them, at most `count`. Points are in order of time; those without a value have to be left out before.
 */
export function largestTriangles<P extends Point>(points: readonly P[], count: number): P[] {
  if (points.length <= count || count < 3) return points.slice(0, count);
  const size = (points.length - 2) / (count - 2);
  const kept: P[] = [points[0] as P];
  for (let i = 0; i < count - 2; i++) {
    const from = Math.floor(i * size) + 1;
    const to = Math.floor((i + 1) * size) + 1;
    const next = points.slice(to, Math.min(Math.floor((i + 2) * size) + 1, points.length));
    const midTime = next.reduce((sum, p) => sum + p.timeUs, 0) / next.length;
    const midValue = next.reduce((sum, p) => sum + (p.value ?? 0), 0) / next.length;
    kept.push(farthest(points.slice(from, to), kept.at(-1) as P, midTime, midValue));
  }
  kept.push(points.at(-1) as P);
  return kept;
}

function farthest<P extends Point>(bucket: readonly P[], before: P, midTime: number, midValue: number): P {
  let best = bucket[0] as P;
  let bestArea = -1;
  for (const point of bucket) {
    const area = Math.abs(
      (before.timeUs - midTime) * ((point.value ?? 0) - (before.value ?? 0)) -
        (before.timeUs - point.timeUs) * (midValue - (before.value ?? 0)),
    );
    if (area > bestArea) [best, bestArea] = [point, area];
  }
  return best;
}

/** At most `count` stretches of equal length, each with its mean, lowest and highest value: no spike is lost. */
export function extremes(points: readonly Point[], fromUs: number, toUs: number, count: number): Point[] {
  if (points.length <= count) return [...points];
  const width = Math.max(1, (toUs - fromUs) / count);
  const buckets: { timeUs: number; sum: number; n: number; min: number; max: number }[] = [];
  let current = -1;
  for (const { timeUs, value, min = value, max = value, n = 1 } of points) {
    if (value === null || min === null || max === null) continue;
    const index = Math.floor((timeUs - fromUs) / width);
    const last = buckets.at(-1);
    if (index !== current || !last) {
      current = index;
      buckets.push({ timeUs: Math.round(fromUs + index * width), sum: value * n, n, min, max });
    } else {
      last.sum += value * n;
      last.n += n;
      last.min = Math.min(last.min, min);
      last.max = Math.max(last.max, max);
    }
  }
  return buckets.map(({ timeUs, sum, n, min, max }) => ({ timeUs, value: sum / n, min, max, n }));
}

/** Stretches without any point that are longer than `longestUs`. */
export function findGaps(times: readonly number[], longestUs: number): { fromUs: number; toUs: number }[] {
  const gaps: { fromUs: number; toUs: number }[] = [];
  for (let i = 1; i < times.length; i++) {
    const [fromUs, toUs] = [times[i - 1] ?? 0, times[i] ?? 0];
    if (toUs - fromUs > longestUs) gaps.push({ fromUs, toUs });
  }
  return gaps;
}

/** Half of the distances between neighbours are no longer than this; undefined where there are no two. */
export function medianStep(times: readonly number[]): number | undefined {
  const steps = times.slice(1).map((time, i) => time - (times[i] ?? time));
  return steps.sort((a, b) => a - b)[Math.floor(steps.length / 2)];
}
