/** A repeatable number in [0, 1) for a whole-numbered key: the same key gives the same number everywhere. */
export function hashUnit(...key: readonly number[]): number {
  let h = 0x9e3779b9;
  for (const part of key) {
    h = Math.imul(h ^ (part | 0), 0x85ebca6b);
    h = Math.imul(h ^ Math.floor(part / 0x1_0000_0000), 0xc2b2ae35);
    h ^= h >>> 13;
  }
  h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
  return ((h ^ (h >>> 15)) >>> 0) / 0x1_0000_0000;
}

/** Smooth noise in [-1, 1] over time: value noise with one knot per `periodMs`, eased between knots. */
export function smoothNoise(seed: number, timeMs: number, periodMs: number): number {
  const at = timeMs / periodMs;
  const knot = Math.floor(at);
  const x = at - knot;
  const ease = x * x * (3 - 2 * x);
  const a = hashUnit(seed, knot) * 2 - 1;
  const b = hashUnit(seed, knot + 1) * 2 - 1;
  return a + (b - a) * ease;
}
