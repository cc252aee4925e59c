import { LONGEST_STEP_MS, learnIntervalMs, USUAL_INTERVAL_MS } from "@sluice/analytics";
import {
  ANOMALY_TABLE,
  type DerivedRow,
  type DueBucket,
  EFFICIENCY_TABLE,
  findWatermark,
  listAnomalyKeys,
  listHourMoments,
  listReadingTimes,
  listWaterNodes,
  listWaterReadings,
  listWindowKeys,
  METRICS_TABLE,
  QUALITY_TABLE,
  type Queries,
  registerDueJob,
  registerWaterNodes,
  type TimeRange,
  type Transaction,
  takeDue,
  type WaterMeasure,
  type WaterNode,
  type WindowsOf,
} from "@sluice/db";
import { defineJob, type Job, type JobOutput } from "../job.ts";
import { loadOutputs, replaceRows } from "../jobs/load.ts";
import { mapBounded } from "./map-bounded.ts";
import { networkRow } from "./network-rows.ts";
import { HISTORY_HOURS, JUDGED } from "./node-anomalies.ts";
import { computeNode } from "./node-figures.ts";
import type { NodeData } from "./series.ts";
import { floorDay, planWindows, WINDOW_MS, type Window } from "./windows.ts";

/** Name of the processing cycle's job. */
export const WATER_JOB = "water";

const WATERMARK = "etl_water_watermark";
const HOUR_MS = WINDOW_MS["1hour"];
const DAY_MS = WINDOW_MS["1day"];
const DUE_HOURS = 2000;

/** Options of {@link createWaterJob}. */
export interface WaterOptions {
  intervalMs?: number | undefined;
  /** How many nodes are read at once. */
  parallelNodes?: number | undefined;
  /** Where several nodes can be read at once; without it the job's own connection, one after the other. */
  readers?: Queries | undefined;
}

/**
 * The processing cycle of the water network: `computed_metrics` of 5 minutes, 1 hour and 1 day, `data_quality_metrics`,
 * `anomalies` and `network_efficiency`. What arrives late has its hours, their day, and the anomalies of the day after
 * computed anew.
 */
export function createWaterJob({
  intervalMs = 1_800_000,
  parallelNodes = 4,
  readers,
}: WaterOptions = {}): Job {
  // one connection answers one query at a time
  const reading = (tx: Transaction): Reading =>
    readers ? { readers, parallelNodes } : { readers: tx, parallelNodes: 1 };
  return defineJob<JobOutput[]>({
    name: WATER_JOB,
    jobType: "water_processing",
    schedule: { everyMs: intervalMs },
    timeoutMs: 600_000,
    watermarkKey: WATERMARK,
    stepMs: WINDOW_MS["5min"],
    windowMs: DAY_MS,
    overlapMs: 0,
    lookbackMs: DAY_MS,
    extract: async ({ tx }, window) => {
      // also while there is no node: the past of one that comes later is due then
      await registerDueJob(tx, { name: WATER_JOB, watermarkKey: WATERMARK, step: "1 hour" });
      await registerWaterNodes(tx);
      const nodes = await listWaterNodes(tx);
      if (nodes.length === 0) return [];
      return computeRange(tx, nodes, window, reading(tx));
    },
    extractDue: async ({ tx }) => {
      const due = await takeDue(tx, WATER_JOB, DUE_HOURS);
      if (due.length === 0) return undefined;
      await registerWaterNodes(tx);
      const nodes = await listWaterNodes(tx);
      const outputs: JobOutput[] = [];
      for (const range of dueRanges(due, nodes, await reachedMs(tx))) {
        outputs.push(...(await computeRange(tx, nodes, range, reading(tx))));
      }
      return outputs;
    },
    transform: (outputs) => outputs,
    load: loadOutputs,
  });
}

/**
 * Due hours of the network's sensors as ranges to compute: whole days that are over, else from the first to the last.
 * What readings are judged by reaches into the day after.
 */
function dueRanges(due: readonly DueBucket[], nodes: readonly WaterNode[], reachedMs: number): TimeRange[] {
  const reachesMs = new Map(
    nodes.flatMap(({ sensors }) =>
      (Object.keys(sensors) as WaterMeasure[]).map((measure) => {
        const judged = JUDGED.includes(measure);
        return [sensors[measure]?.id, judged ? (HISTORY_HOURS + 1) * HOUR_MS : HOUR_MS] as const;
      }),
    ),
  );
  const days = new Map<number, TimeRange>();
  for (const { sensorId, bucketMs } of due) {
    const reachMs = reachesMs.get(sensorId);
    if (reachMs === undefined) continue;
    const endMs = Math.min(reachedMs, bucketMs + reachMs);
    for (let dayMs = floorDay(bucketMs); dayMs < endMs; dayMs += DAY_MS) {
      const over = dayMs + DAY_MS <= reachedMs;
      const before = days.get(dayMs);
      const fromMs = over ? dayMs : Math.max(dayMs, bucketMs);
      const toMs = over ? dayMs + DAY_MS : endMs;
      days.set(dayMs, {
        fromMs: Math.min(before?.fromMs ?? fromMs, fromMs),
        toMs: Math.max(before?.toMs ?? toMs, toMs),
      });
    }
  }
  return [...days.values()].sort((a, b) => a.fromMs - b.fromMs);
}

async function reachedMs(tx: Transaction): Promise<number> {
  return (await findWatermark(tx, WATERMARK)) ?? 0;
}

interface Reading {
  parallelNodes: number;
  readers: Queries;
}

async function computeRange(
  tx: Transaction,
  nodes: readonly WaterNode[],
  range: TimeRange,
  { parallelNodes, readers }: Reading,
): Promise<JobOutput[]> {
  const { windows, readFromMs } = planWindows(range);
  const read = { fromMs: readFromMs, toMs: range.toMs };
  const measuring = nodes.filter(({ sensors }) => Object.keys(sensors).length > 0);
  const figures = await mapBounded(measuring, parallelNodes, async (node) =>
    computeNode(await readNode(readers, node, read), windows, read),
  );
  const metrics = figures.flatMap((node) => node.metrics);
  const quality = figures.flatMap((node) => node.quality);
  const anomalies = figures.flatMap((node) => node.anomalies);
  const efficiency = windows.flatMap((window) => {
    if (window.kind === "5min") return [];
    const row = networkRow(nodes, window, rowsOf(window, metrics), anomaliesOf(window, anomalies));
    return row ? [row] : [];
  });
  const spans = spansOf(windows);
  return [
    replaceRows(METRICS_TABLE, metrics, await listWindowKeys(tx, METRICS_TABLE, spans)),
    replaceRows(QUALITY_TABLE, quality, await listWindowKeys(tx, QUALITY_TABLE, spans)),
    replaceRows(ANOMALY_TABLE, anomalies, await listAnomalyKeys(tx, read)),
    replaceRows(EFFICIENCY_TABLE, efficiency, await listWindowKeys(tx, EFFICIENCY_TABLE, spans)),
  ];
}

async function readNode(readers: Queries, node: WaterNode, read: TimeRange): Promise<NodeData> {
  const readings = await listWaterReadings(readers, node, read);
  const hours = await listHourMoments(readers, node, JUDGED, {
    fromMs: read.fromMs - HISTORY_HOURS * HOUR_MS,
    toMs: read.fromMs,
    longestStepMs: LONGEST_STEP_MS,
  });
  return { node, readings, hours, intervalMs: await learnInterval(readers, node, floorDay(read.fromMs)) };
}

/** From the week before a day; a node that is new is judged by its first day. */
async function learnInterval(readers: Queries, node: WaterNode, dayMs: number): Promise<number> {
  const before = await listReadingTimes(readers, node, { fromMs: dayMs - 7 * DAY_MS, toMs: dayMs });
  const learned = learnIntervalMs(before);
  if (learned !== undefined) return learned;
  const first = await listReadingTimes(readers, node, { fromMs: dayMs, toMs: dayMs + DAY_MS });
  return learnIntervalMs(first) ?? USUAL_INTERVAL_MS;
}

const rowsOf = ({ kind, fromMs }: Window, rows: readonly DerivedRow[]) => {
  const start = new Date(fromMs).toISOString();
  return rows.filter(({ time_window, window_start }) => time_window === kind && window_start === start);
};

const anomaliesOf = ({ fromMs, toMs }: Window, rows: readonly DerivedRow[]) =>
  rows.filter(({ timestamp }) => {
    const atMs = Date.parse(String(timestamp));
    return atMs >= fromMs && atMs < toMs;
  });

/** From the first to the last window of each kind. */
function spansOf(windows: readonly Window[]): WindowsOf[] {
  const kinds = new Map<string, WindowsOf>();
  for (const { kind, fromMs, toMs } of windows) {
    const first = kinds.get(kind);
    kinds.set(kind, { timeWindow: kind, fromMs: first?.fromMs ?? fromMs, toMs });
  }
  return [...kinds.values()];
}
