/** What a plant wants of one metric. */
export interface OptimalRange {
  readonly min: number;
  readonly max: number;
}

/** How far beyond the optimal range, as a share of its width, a reading is critical. */
export const CRITICAL_MARGIN = 0.2;

/** The most permissive range of several stages; a bound that a stage leaves open does not count. Undefined without both. */
export function widestRange(
  stages: Iterable<{ readonly min: number | null; readonly max: number | null }>,
): OptimalRange | undefined {
  let min = Infinity;
  let max = -Infinity;
  for (const stage of stages) {
    if (stage.min !== null) min = Math.min(min, stage.min);
    if (stage.max !== null) max = Math.max(max, stage.max);
  }
  return Number.isFinite(min) && Number.isFinite(max) ? { min, max } : undefined;
}

/** Optimal within the range, both ends included; critical beyond it by more than 20 % of its width; stressed between. */
export function conditionOf(value: number, { min, max }: OptimalRange): "optimal" | "stressed" | "critical" {
  if (value >= min && value <= max) return "optimal";
  const margin = CRITICAL_MARGIN * (max - min);
  return value < min - margin || value > max + margin ? "critical" : "stressed";
}

/** Share of the given weights that is optimal and critical, in % to two decimals; undefined where there is no weight. */
export function conditionShares(
  readings: Iterable<{ readonly value: number; readonly weight: number }>,
  range: OptimalRange,
): { optimalPct: number; criticalPct: number } | undefined {
  let total = 0;
  const sums = { optimal: 0, stressed: 0, critical: 0 };
  for (const { value, weight } of readings) {
    total += weight;
    sums[conditionOf(value, range)] += weight;
  }
  if (total === 0) return undefined;
  return { optimalPct: percent(sums.optimal, total), criticalPct: percent(sums.critical, total) };
}

const percent = (part: number, total: number) => Math.round((part / total) * 10_000) / 100;
