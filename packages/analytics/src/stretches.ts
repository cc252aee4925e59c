import type { Sample } from "./time-weighted.ts";

/** A stretch of time, [fromMs, toMs). */
export interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
}

/** A value, and from when until when it held. */
export interface Held extends Stretch {
  readonly value: number;
}

/**
 * When which value held: each until the next sample, the last one until `knownToMs`, for nothing is known later. A `null`
 * ends the value before it. Cut to [fromMs, toMs), so that a sample before it is carried in. Samples are in order.
 */
export function heldValues(
  samples: readonly Sample[],
  { fromMs, toMs, knownToMs }: Stretch & { readonly knownToMs: number },
): Held[] {
  const held: Held[] = [];
  for (let i = 0; i < samples.length; i++) {
    const { atMs, value } = samples[i] as Sample;
    if (atMs >= toMs) break;
    if (value === null) continue;
    const startMs = Math.max(atMs, fromMs);
    const endMs = Math.min(samples[i + 1]?.atMs ?? knownToMs, toMs);
    if (startMs < endMs) held.push({ fromMs: startMs, toMs: endMs, value });
  }
  return held;
}

/** What of `pieces` lies outside of `gaps`. Both are in order and without overlap. */
export function subtractStretches<T extends Stretch>(pieces: readonly T[], gaps: readonly Stretch[]): T[] {
  if (gaps.length === 0) return [...pieces];
  const left: T[] = [];
  let first = 0;
  for (const piece of pieces) {
    while (first < gaps.length && (gaps[first] as Stretch).toMs <= piece.fromMs) first++;
    let fromMs = piece.fromMs;
    for (let i = first; i < gaps.length && fromMs < piece.toMs; i++) {
      const gap = gaps[i] as Stretch;
      if (gap.fromMs >= piece.toMs) break;
      if (gap.fromMs > fromMs) left.push({ ...piece, fromMs, toMs: gap.fromMs });
      fromMs = Math.max(fromMs, gap.toMs);
    }
    if (fromMs === piece.fromMs) left.push(piece);
    else if (fromMs < piece.toMs) left.push({ ...piece, fromMs });
  }
  return left;
}

/** The same time, cut at every multiple of `stepMs`: at full hours, or at midnight UTC. */
export function cutStretches<T extends Stretch>(pieces: readonly T[], stepMs: number): T[] {
  const cut: T[] = [];
  for (const piece of pieces) {
    let { fromMs } = piece;
    for (let edgeMs = nextEdge(fromMs, stepMs); edgeMs < piece.toMs; edgeMs += stepMs) {
      cut.push({ ...piece, fromMs, toMs: edgeMs });
      fromMs = edgeMs;
    }
    cut.push(fromMs === piece.fromMs ? piece : { ...piece, fromMs });
  }
  return cut;
}

const nextEdge = (atMs: number, stepMs: number) => (Math.floor(atMs / stepMs) + 1) * stepMs;

/** All time that is in any of the stretches, in order and without overlap. */
export function joinStretches(stretches: readonly Stretch[]): Stretch[] {
  const merged: { fromMs: number; toMs: number }[] = [];
  for (const { fromMs, toMs } of [...stretches].sort((a, b) => a.fromMs - b.fromMs)) {
    const last = merged.at(-1);
    if (last && fromMs <= last.toMs) last.toMs = Math.max(last.toMs, toMs);
    else if (fromMs < toMs) merged.push({ fromMs, toMs });
  }
  return merged;
}

/** What of `stretches` lies within [fromMs, toMs). */
export const clipStretches = (stretches: readonly Stretch[], { fromMs, toMs }: Stretch): Stretch[] =>
  stretches
    .map((one) => ({ fromMs: Math.max(one.fromMs, fromMs), toMs: Math.min(one.toMs, toMs) }))
    .filter((one) => one.fromMs < one.toMs);

/** How long stretches without overlap are together. */
export const totalMs = (stretches: readonly Stretch[]): number =>
  stretches.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);
