/** The stream and its ledger: `<stream>:ledger`, tagged so that both are on one node of a cluster. */
export function streamKeys(stream: string): [stream: string, ledger: string] {
  return [stream, `${stream.includes("{") ? stream : `{${stream}}`}:ledger`];
}

/** Ordinal of the first message and count of an entry, read off its id; undefined where others appended it. */
export function findRange(id: string): { from: number; to: number } | undefined {
  const sequence = Number(id.slice(id.indexOf("-") + 1));
  if (!(sequence > 1_000)) return undefined;
  const from = Math.floor(sequence / 1_000);
  return { from, to: from + (sequence % 1_000) - 1 };
}
