import type { TimeRange } from "@sluice/db";
import type { Job } from "./job.ts";

/** Cuts [fromMs, toMs) into windows that end at multiples of `windowMs`, in order. */
export function cutWindows({ fromMs, toMs }: TimeRange, windowMs: number): TimeRange[] {
  const windows: TimeRange[] = [];
  for (let startMs = fromMs; startMs < toMs; ) {
    const endMs = Math.min(toMs, (Math.floor(startMs / windowMs) + 1) * windowMs);
    windows.push({ fromMs: startMs, toMs: endMs });
    startMs = endMs;
  }
  return windows;
}

/** Largest multiple of the job's step that is not after `atMs`. */
export const floorStep = (job: Job, atMs: number): number => Math.floor(atMs / job.stepMs) * job.stepMs;

/**
 * What a latest run covers: from the watermark less the overlap, or the look-back where that reaches further or there
 * is no watermark, to the last step that is over at `nowMs`. The windows up to the watermark are done again.
 */
export function latestRange(
  job: Job,
  nowMs: number,
  watermarkMs: number | undefined,
  lookbackMs?: number,
): TimeRange {
  const toMs = floorStep(job, nowMs);
  const wantedMs = nowMs - (lookbackMs ?? job.lookbackMs);
  if (watermarkMs === undefined) return { fromMs: floorStep(job, wantedMs), toMs };
  const resumedMs = Math.min(watermarkMs, toMs) - job.overlapMs;
  const fromMs = lookbackMs === undefined ? resumedMs : Math.min(resumedMs, wantedMs);
  return { fromMs: floorStep(job, fromMs), toMs };
}

/** What a backfill of so many days covers, whatever the watermark is: whole UTC days, and today as far as it is over. */
export function backfillRange(job: Job, nowMs: number, days: number): TimeRange {
  const todayMs = Math.floor(nowMs / 86_400_000) * 86_400_000;
  return { fromMs: todayMs - days * 86_400_000, toMs: floorStep(job, nowMs) };
}
