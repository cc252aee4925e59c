import type { Queries } from "./open-db.ts";

/** A row of somebody else's table of readings: when, of which node, and its columns as they are. */
export interface ForeignReading {
  /** Microseconds since the epoch. */
  timeUs: number;
  node: string;
  columns: Record<string, unknown>;
}

const quoted = (table: string) =>
  table
    .split(".")
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join(".");

/**
 * Rows of a table with columns `timestamp` and `node_id` in [fromMs, toMs), in order of time, about `pageSize` at once.
 * Rows of one instant are never parted: there is no key to go on from.
 */
export async function* readForeignReadings(
  db: Queries,
  table: string,
  { fromMs, toMs }: { fromMs: number; toMs: number },
  pageSize: number,
): AsyncGenerator<ForeignReading> {
  let fromUs = fromMs * 1000;
  for (let limit = pageSize; ; ) {
    const rows = await db.query<{ at: number; node: string; row: Record<string, unknown> }>(
      `SELECT (extract(epoch FROM t."timestamp") * 1000000)::int8 AS at, t.node_id::text AS node, to_jsonb(t) AS row
         FROM ${quoted(table)} t
        WHERE t."timestamp" >= to_timestamp(0) + $1::int8 * INTERVAL '1 microsecond'
          AND t."timestamp" < to_timestamp(0) + $2::int8 * INTERVAL '1 microsecond'
        ORDER BY t."timestamp" LIMIT $3`,
      [fromUs, toMs * 1000, limit],
    );
    const whole = rows.length < limit;
    const lastUs = rows.at(-1)?.at ?? fromUs;
    const ready = whole ? rows : rows.filter(({ at }) => at < lastUs);
    for (const { at, node, row } of ready) yield { timeUs: at, node, columns: row };
    if (whole) return;
    // more rows of one instant than a page holds
    limit = ready.length === 0 ? limit * 2 : pageSize;
    fromUs = lastUs;
  }
}
