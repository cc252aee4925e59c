/** The step of a series of instants (µs, file order): the commonest gap, as `30s`, `5m`, `1h` or `1d`. */
export function findStep(timesUs: readonly number[]): string | undefined {
  const counts = new Map<number, number>();
  for (let i = 1; i < timesUs.length; i++) {
    const gapS = Math.round(Math.abs((timesUs[i] ?? 0) - (timesUs[i - 1] ?? 0)) / 1e6);
    if (gapS > 0) counts.set(gapS, (counts.get(gapS) ?? 0) + 1);
  }
  let best: [gapS: number, count: number] | undefined;
  for (const [gapS, count] of counts) {
    if (!best || count > best[1] || (count === best[1] && gapS > best[0])) best = [gapS, count];
  }
  return best && formatStep(best[0]);
}

function formatStep(seconds: number): string {
  if (seconds % 86_400 === 0) return `${seconds / 86_400}d`;
  if (seconds % 3600 === 0) return `${seconds / 3600}h`;
  if (seconds % 60 === 0) return `${seconds / 60}m`;
  return `${seconds}s`;
}
