import type { HourSums, StoredReading } from "@sluice/db";
import type { InfluxReading, ModelSums } from "./influx-readings.ts";

/** What differs in a stretch of one device. PostgreSQL is right about values. */
export interface Differences {
  /** In PostgreSQL only. */
  missing: StoredReading[];
  /** In both, with another value: what PostgreSQL has, and where InfluxDB has something else. */
  differing: { right: number; found: InfluxReading }[];
  /** In InfluxDB only. */
  extra: InfluxReading[];
}

/** Compares every reading of a stretch of one device. A reading may stand in InfluxDB more than once, in each model. */
export function compareReadings(
  stored: readonly StoredReading[],
  found: readonly InfluxReading[],
): Differences {
  const keyOf = ({ field, timeUs }: StoredReading) => `${timeUs}\n${field}`;
  const right = new Map(stored.map((reading) => [keyOf(reading), reading.value]));
  const seen = new Set<string>();
  const result: Differences = { missing: [], differing: [], extra: [] };
  for (const reading of found) {
    const key = keyOf(reading);
    const value = right.get(key);
    seen.add(key);
    if (value === undefined) result.extra.push(reading);
    else if (value !== reading.value) result.differing.push({ right: value, found: reading });
  }
  result.missing = stored.filter((reading) => !seen.has(keyOf(reading)));
  return result;
}

/** Hours of devices whose figures differ, by device: hours in ascending order. */
export function findDoubtfulHours(
  stored: readonly HourSums[],
  found: readonly ModelSums[],
): Map<string, number[]> {
  const keyOf = ({ device, field, hourMs }: HourSums) => `${device}\n${field}\n${hourMs}`;
  const both = new Map<string, { right?: HourSums; models: ModelSums[] }>();
  for (const right of stored) both.set(keyOf(right), { right, models: [] });
  for (const sums of found) {
    const entry = both.get(keyOf(sums)) ?? { models: [] };
    entry.models.push(sums);
    both.set(keyOf(sums), entry);
  }
  const hours = new Map<string, Set<number>>();
  for (const { right, models } of both.values()) {
    const any = right ?? models[0];
    if (!any || (right && models.length > 0 && models.every((sums) => agree(right, sums)))) continue;
    hours.set(any.device, (hours.get(any.device) ?? new Set()).add(any.hourMs));
  }
  return new Map([...hours].map(([device, set]) => [device, [...set].sort((a, b) => a - b)]));
}

/** Sums may differ in what the order of additions rounds. */
function agree(a: HourSums, b: HourSums): boolean {
  const size = Math.max(Math.abs(a.min), Math.abs(a.max)) * a.n;
  return a.n === b.n && a.min === b.min && a.max === b.max && Math.abs(a.sum - b.sum) <= size * 1e-12;
}
