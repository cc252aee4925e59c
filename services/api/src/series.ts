import {
  type Chart,
  type ChartRange,
  type ChartSensor,
  type ChartStep,
  getChartSensor,
  listReadings,
  type Queries,
  readChart,
  type SensorRef,
} from "@sluice/db";
import { extremes, findGaps, largestTriangles, medianStep, type Point } from "./downsample.ts";

/** How fine a series is: as it came, or means of 5 minutes, hours or days. */
export type Resolution = "raw" | ChartStep;

/** How a series is thinned out for a picture. */
export type Thinning = "minmax" | "lttb" | "none";

/** What is asked of a series. */
export interface SeriesRequest extends ChartRange {
  resolution: Resolution | "auto";
  thinning: Thinning;
  maxPoints: number;
}

/** A point of a series as it is shown. */
export interface SeriesPoint extends Omit<Point, "value"> {
  value: number | string | null;
  status?: string;
  flags?: string[];
}

/** A series, with the stretches in which nothing came. */
export interface SeriesAnswer {
  sensor: ChartSensor;
  resolution: Resolution;
  points: SeriesPoint[];
  gaps: { fromUs: number; toUs: number }[];
  /** There is more in the range than `maxPoints`; go on from the last point. */
  more: boolean;
}

const SECOND_US = 1_000_000;
const STEP_US: Record<ChartStep, number> = {
  "5m": 300 * SECOND_US,
  "1h": 3600 * SECOND_US,
  "1d": 86_400 * SECOND_US,
};
/** Readings that are thinned out here; beyond them a coarser step is taken. */
const MAX_RAW = 20_000;
const RAW_BELOW_US = 6 * 3600 * SECOND_US;

/** Reads a series of one sensor. @throws NotFoundError */
export async function readSeries(db: Queries, ref: SensorRef, request: SeriesRequest): Promise<SeriesAnswer> {
  const resolution = chooseResolution(request);
  if (resolution !== "raw") {
    const chart = await readChart(db, ref, request, resolution);
    if (chart.sensor.valueType !== "text") return pictureOf(chart, request, resolution);
  }
  const sensor = await getChartSensor(db, ref);
  const answer = await readRaw(db, sensor, request);
  return answer ?? pictureOf(await readChart(db, { id: sensor.id }, request, "5m"), request, "5m");
}

function pictureOf({ sensor, buckets }: Chart, request: SeriesRequest, resolution: ChartStep): SeriesAnswer {
  const times = buckets.map(({ timeUs }) => timeUs);
  const thin = thinOut(buckets, request);
  return {
    sensor,
    resolution,
    points: thin.slice(0, request.maxPoints),
    gaps: findGaps(times, 2 * STEP_US[resolution]),
    more: thin.length > request.maxPoints,
  };
}

function chooseResolution({ resolution, fromUs, toUs, maxPoints }: SeriesRequest): Resolution {
  if (resolution !== "auto") return resolution;
  const lengthUs = toUs - fromUs;
  if (lengthUs <= RAW_BELOW_US) return "raw";
  if (lengthUs / STEP_US["5m"] <= 2 * maxPoints) return "5m";
  return lengthUs / STEP_US["1h"] <= 2 * maxPoints ? "1h" : "1d";
}

/** Readings as they came; undefined where there are too many of them for a picture. */
async function readRaw(
  db: Queries,
  sensor: ChartSensor,
  request: SeriesRequest,
): Promise<SeriesAnswer | undefined> {
  const plain = sensor.valueType === "text" || request.thinning === "none";
  const limit = plain ? request.maxPoints : MAX_RAW;
  const rows = await listReadings(db, sensor, request, limit + 1);
  const more = rows.length > limit;
  if (more && !plain) return undefined;
  const readings = rows.slice(0, limit);
  const times = readings.map(({ timeUs }) => timeUs);
  const stepUs = sensor.sampleIntervalMs === null ? medianStep(times) : sensor.sampleIntervalMs * 1000;
  const gaps = stepUs === undefined ? [] : findGaps(times, 3 * stepUs);
  if (plain || readings.length <= request.maxPoints) {
    const points = readings.map(({ timeUs, value, status, flags }) => ({
      timeUs,
      value,
      ...(status === "ok" ? {} : { status }),
      ...(flags === null ? {} : { flags }),
    }));
    return { sensor, resolution: "raw", points, gaps, more };
  }
  const known = readings.flatMap(({ timeUs, value }) =>
    typeof value === "number" ? [{ timeUs, value }] : [],
  );
  return { sensor, resolution: "raw", points: thinOut(known, request), gaps, more: false };
}

function thinOut(points: readonly Point[], { thinning, maxPoints, fromUs, toUs }: SeriesRequest): Point[] {
  if (thinning === "none") return [...points];
  return thinning === "lttb"
    ? largestTriangles(points, maxPoints)
    : extremes(points, fromUs, toUs, maxPoints);
}

const PAGE = 5000;

/** All readings or means of a range, page by page: for downloads of any length. */
export async function* streamSeries(
  db: Queries,
  sensor: ChartSensor,
  range: ChartRange,
  resolution: Resolution,
): AsyncGenerator<SeriesPoint[]> {
  if (resolution !== "raw" && sensor.valueType !== "text") {
    yield (await readChart(db, { id: sensor.id }, range, resolution)).buckets;
    return;
  }
  let fromUs = range.fromUs;
  for (;;) {
    const rows = await listReadings(db, sensor, { fromUs, toUs: range.toUs }, PAGE);
    yield rows.map(({ flags, ...row }) => ({ ...row, ...(flags === null ? {} : { flags }) }));
    if (rows.length < PAGE) return;
    fromUs = (rows.at(-1)?.timeUs ?? fromUs) + 1;
  }
}
