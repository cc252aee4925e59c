import { integrateSteps, momentsOf, type Sample, siteDays } from "@sluice/analytics";

/** A reading as stored; an error reading has no value. */
export interface RawReading {
  sensorId: number;
  atMs: number;
  value: number | null;
}

/** A rollup row as the plainest computation from all readings gives it. */
export interface ExpectedRow {
  key: string;
  n: number;
  sum: number | null;
  mean: number | null;
  m2: number | null;
  min: number | null;
  max: number | null;
  first: number | null;
  firstMs: number | null;
  last: number | null;
  lastMs: number | null;
  ended: boolean;
  heldSeconds: number;
  timeWeightedAvg: number | null;
  expected: number | null;
}

/** What is asked of one sensor. */
export interface SensorSettings {
  zone: string;
  maxHoldMs?: number | undefined;
  intervalMs?: number | undefined;
}

type Level = "rollup_5m" | "rollup_1h" | "rollup_1d";

/** Every row of a level for buckets that are over at `doneMs`, computed from nothing but the readings of the sensor. */
export function recompute(
  level: Level,
  readings: readonly RawReading[],
  settings: SensorSettings,
  doneMs: number,
): ExpectedRow[] {
  const sorted = [...readings].sort((a, b) => a.atMs - b.atMs);
  const buckets = new Map<number, number>();
  for (const { atMs } of sorted) {
    const [fromMs, toMs] = bucketOf(level, atMs, settings.zone);
    if (toMs <= doneMs) buckets.set(fromMs, toMs);
  }
  return [...buckets].map(([fromMs, toMs]) => rowOf(sorted, fromMs, toMs, settings));
}

function bucketOf(level: Level, atMs: number, zone: string): [number, number] {
  const [day] = siteDays(atMs, atMs + 1, zone);
  if (level === "rollup_1d" && day) return [day.fromMs, day.toMs];
  const lengthMs = level === "rollup_5m" ? 300_000 : 3_600_000;
  const fromMs = Math.floor(atMs / lengthMs) * lengthMs;
  return [fromMs, fromMs + lengthMs];
}

function rowOf(
  sorted: readonly RawReading[],
  fromMs: number,
  toMs: number,
  settings: SensorSettings,
): ExpectedRow {
  const within = sorted.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  const known = within.filter((reading): reading is RawReading & { value: number } => reading.value !== null);
  const moments = momentsOf(known.map(({ value }) => value));
  const samples: readonly Sample[] = sorted;
  const { knownMs, integral } = integrateSteps(samples, {
    fromMs,
    toMs,
    ...(settings.maxHoldMs === undefined ? {} : { maxHoldMs: settings.maxHoldMs }),
  });
  const some = moments.n > 0;
  return {
    key: `${sorted[0]?.sensorId}/${new Date(fromMs).toISOString()}`,
    n: moments.n,
    sum: some ? known.reduce((sum, { value }) => sum + value, 0) : null,
    mean: some ? moments.mean : null,
    m2: some ? moments.m2 : null,
    min: some ? moments.min : null,
    max: some ? moments.max : null,
    first: known[0]?.value ?? null,
    firstMs: known[0]?.atMs ?? null,
    last: known.at(-1)?.value ?? null,
    lastMs: known.at(-1)?.atMs ?? null,
    ended: within.at(-1)?.value === null,
    heldSeconds: knownMs / 1000,
    timeWeightedAvg: knownMs > 0 ? integral / knownMs : null,
    expected: settings.intervalMs === undefined ? null : (toMs - fromMs) / settings.intervalMs,
  };
}
