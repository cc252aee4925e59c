import { setTimeout as delay } from "node:timers/promises";
import { patience } from "./patience.ts";

/** How long to wait and what for. */
export interface WaitOptions {
  /** Default 10 s; longer on a busy machine. */
  timeoutMs?: number;
  /** Default 20 ms. */
  intervalMs?: number;
  /** Named in the error, for example `"the row"`. */
  what?: string;
}

/**
 * Asks until the condition gives something truthy and resolves with that; a condition that throws is
 * asked again. Rejects after the time-out with the last answer or error.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 10_000, intervalMs = 20, what = "condition" }: WaitOptions = {},
): Promise<Exclude<T, false | null | undefined | 0 | "">> {
  const patientMs = patience(timeoutMs);
  const deadline = performance.now() + patientMs;
  for (;;) {
    let last: unknown;
    let cause: unknown;
    try {
      last = await condition();
      if (last) return last as Exclude<T, false | null | undefined | 0 | "">;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > deadline) {
      const seen = cause instanceof Error ? cause.message : JSON.stringify(last);
      throw new Error(`waited ${patientMs} ms for ${what}; last: ${seen}`, { cause });
    }
    await delay(intervalMs);
  }
}
