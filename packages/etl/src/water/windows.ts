import type { TimeRange, WaterWindow } from "@sluice/db";

const MINUTE_MS = 60_000;

/** Length of every kind of window; days are UTC days. */
export const WINDOW_MS: Readonly<Record<WaterWindow, number>> = {
  "5min": 5 * MINUTE_MS,
  "1hour": 60 * MINUTE_MS,
  "1day": 1440 * MINUTE_MS,
};

/** A window of a kind. */
export interface Window extends TimeRange {
  readonly kind: WaterWindow;
}

/**
 * What a run over a range computes: the windows of every kind that are over with it, and none that was over before. What
 * has to be read for that begins at the first of them, at a whole hour.
 */
export function planWindows({ fromMs, toMs }: TimeRange): { windows: Window[]; readFromMs: number } {
  const windows = (Object.keys(WINDOW_MS) as WaterWindow[]).flatMap((kind) => endingIn(kind, fromMs, toMs));
  const readFromMs = windows.reduce((least, window) => Math.min(least, window.fromMs), fromMs);
  return { windows, readFromMs: floorHour(readFromMs) };
}

/** Start of the hour. */
const floorHour = (atMs: number): number => Math.floor(atMs / WINDOW_MS["1hour"]) * WINDOW_MS["1hour"];
/** Start of the UTC day. */
export const floorDay = (atMs: number): number => Math.floor(atMs / WINDOW_MS["1day"]) * WINDOW_MS["1day"];

/** Windows of a kind whose end is after `fromMs` and not after `toMs`. */
function endingIn(kind: WaterWindow, fromMs: number, toMs: number): Window[] {
  const length = WINDOW_MS[kind];
  const windows: Window[] = [];
  for (let startMs = Math.floor(fromMs / length) * length; startMs + length <= toMs; startMs += length) {
    windows.push({ kind, fromMs: startMs, toMs: startMs + length });
  }
  return windows;
}
