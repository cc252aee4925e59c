import {
  type Db,
  findDeviceFacts,
  listHourSums,
  listStoredReadings,
  type StoredReading,
  type TimeRange,
} from "@sluice/db";
import type { InfluxSource } from "../influx-hours.ts";
import { cutWindows } from "../windows.ts";
import { compareReadings, type Differences, findDoubtfulHours } from "./compare-readings.ts";
import {
  createNames,
  type InfluxReadings,
  listInfluxReadings,
  listInfluxSums,
  listMeasurements,
} from "./influx-readings.ts";

const HOUR_MS = 3_600_000;
/** Longest stretch whose hours are in memory at once. */
const WINDOW_MS = 6 * HOUR_MS;

/** How the stores differ in one sensor. */
export interface SensorDifference {
  device: string;
  field: string;
  kind: "missing" | "differing" | "extra";
  readings: number;
  fromMs: number;
  toMs: number;
  /** The first one: what PostgreSQL has, and what InfluxDB has. */
  example: { postgres?: number; influx?: number };
}

/** A stretch of a device in which something differs, with all of it. */
export interface DoubtfulStretch {
  device: string;
  range: TimeRange;
  differences: Differences;
}

/** What a comparison found. */
export interface ReconcileReport extends TimeRange {
  /** Hours of sensors that were compared. */
  hours: number;
  missing: number;
  differing: number;
  extra: number;
  sensors: SensorDifference[];
  /** Where something differs. */
  stretches: { device: string; range: TimeRange }[];
}

/** How to compare. */
export interface ReconcileOptions {
  devices?: readonly string[] | undefined;
  signal: AbortSignal;
  onWindow?(done: number, total: number): void;
  /** Called with each stretch that differs, before the next is looked at. */
  onDifferent?(stretch: DoubtfulStretch): Promise<void>;
}

/**
 * Compares InfluxDB with PostgreSQL: first numbers, sums, smallest and largest values of every sensor and hour, then
 * reading by reading where these differ. What is on its way while it looks counts as different. What PostgreSQL's
 * retention has taken away is not missed. Stops between devices on `signal`.
 */
export async function reconcile(
  db: Db,
  influx: InfluxSource,
  range: TimeRange,
  options: ReconcileOptions,
): Promise<ReconcileReport> {
  const { devices, signal, onWindow } = options;
  const names = createNames(
    await db.query<{ device: string; field: string }>(
      `SELECT d.device_code AS device, s.sensor_code AS field
         FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id`,
    ),
  );
  const readings = { influx, names, measurements: await listMeasurements(influx) };
  const report: ReconcileReport = {
    ...range,
    hours: 0,
    missing: 0,
    differing: 0,
    extra: 0,
    sensors: [],
    stretches: [],
  };
  const windows = cutWindows(range, WINDOW_MS);
  for (const [i, window] of windows.entries()) {
    if (signal.aborted) break;
    const stored = await listHourSums(db, window, devices);
    const found = await listInfluxSums(readings, window, devices);
    report.hours += Math.max(stored.length, found.length);
    for (const [device, hours] of findDoubtfulHours(stored, found)) {
      for (const stretch of joinHours(hours, window)) {
        if (!signal.aborted) await look(db, readings, { device, range: stretch }, report, options);
      }
    }
    onWindow?.(i + 1, windows.length);
  }
  return report;
}

/** Neighbouring hours as one stretch, within the window. */
function joinHours(hours: readonly number[], window: TimeRange): TimeRange[] {
  const joined: { fromMs: number; toMs: number }[] = [];
  for (const hourMs of hours) {
    const last = joined.at(-1);
    if (last?.toMs === hourMs) last.toMs = hourMs + HOUR_MS;
    else joined.push({ fromMs: hourMs, toMs: hourMs + HOUR_MS });
  }
  return joined.map(({ fromMs, toMs }) => ({
    fromMs: Math.max(fromMs, window.fromMs),
    toMs: Math.min(toMs, window.toMs),
  }));
}

async function look(
  db: Db,
  readings: InfluxReadings,
  { device, range }: { device: string; range: TimeRange },
  report: ReconcileReport,
  { onDifferent }: ReconcileOptions,
): Promise<void> {
  const stored = await listStoredReadings(db, device, range);
  const differences = compareReadings(stored, await listInfluxReadings(readings, device, range));
  const goneMs = differences.extra.length > 0 ? (await findDeviceFacts(db, device))?.goneBeforeMs : undefined;
  if (goneMs) differences.extra = differences.extra.filter(({ timeUs }) => timeUs >= goneMs * 1000);
  const { missing, differing, extra } = differences;
  if (missing.length + differing.length + extra.length === 0) return;
  report.stretches.push({ device, range });
  count(report, device, "missing", missing, (reading) => ({ postgres: reading.value }));
  const found = differing.map(({ right, found }) => ({ ...found, right }));
  count(report, device, "differing", found, ({ right, value }) => ({ postgres: right, influx: value }));
  count(report, device, "extra", extra, (reading) => ({ influx: reading.value }));
  await onDifferent?.({ device, range, differences });
}

function count<R extends StoredReading>(
  report: ReconcileReport,
  device: string,
  kind: SensorDifference["kind"],
  readings: readonly R[],
  exampleOf: (reading: R) => SensorDifference["example"],
): void {
  const sensors = new Map<string, SensorDifference>();
  for (const sensor of report.sensors)
    if (sensor.device === device && sensor.kind === kind) sensors.set(sensor.field, sensor);
  const counted = new Set<string>();
  for (const reading of readings) {
    const atMs = reading.timeUs / 1000;
    const key = `${reading.field}\n${reading.timeUs}`;
    if (counted.has(key)) continue; // in both models, or twice in one point
    counted.add(key);
    const known = sensors.get(reading.field);
    if (known) {
      known.readings++;
      known.fromMs = Math.min(known.fromMs, atMs);
      known.toMs = Math.max(known.toMs, atMs);
    } else {
      const { field } = reading;
      const fresh = {
        device,
        field,
        kind,
        readings: 1,
        fromMs: atMs,
        toMs: atMs,
        example: exampleOf(reading),
      };
      sensors.set(field, fresh);
      report.sensors.push(fresh);
    }
  }
  report[kind] += counted.size;
}
