import type { KeyValue } from "@sluice/bus";
import { OutageError } from "@sluice/shared-types";
import type { DecodedFrame } from "./can-decode.ts";

/** How long a value is there without a newer one, as in the source system. */
const KEPT_MS = 10_000;
/** Older frames come from a log that is read, and say nothing about now. */
const STALE_US = 30_000_000;

/**
 * Puts the newest values of frames where the controlled-environment document's programs look for them: `sensor:{name}`,
 * and `sensor:{name}:ts` with their time in milliseconds. Values are as sent: calibration is applied when they are read.
 */
export async function showLive(
  keyValue: Pick<KeyValue, "remember">,
  frames: readonly DecodedFrame[],
  nowUs: number,
): Promise<void> {
  const newest = new Map<string, { value: number; timeUs: number }>();
  for (const { envelope, payload } of frames) {
    const timeUs = envelope.timesUs[0] ?? 0;
    if (timeUs < nowUs - STALE_US) continue;
    for (const [name, value] of Object.entries(JSON.parse(payload) as Record<string, unknown>)) {
      if (typeof value === "number" && timeUs >= (newest.get(name)?.timeUs ?? 0))
        newest.set(name, { value, timeUs });
    }
  }
  const written = [...newest].flatMap(([name, { value, timeUs }]) => [
    keyValue.remember(`sensor:${name}`, String(value), KEPT_MS),
    keyValue.remember(`sensor:${name}:ts`, String(Math.floor(timeUs / 1000)), KEPT_MS),
  ]);
  await Promise.all(written).catch((error: unknown) => {
    if (!(error instanceof OutageError)) throw error; // what is stored is stored, and the next value is near
  });
}
