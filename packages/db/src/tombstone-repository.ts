import type { Tombstone } from "@sluice/shared-types";
import type { Db, Queries, Transaction } from "./open-db.ts";
import { holdWatermark, markDirty, ROLLUP_LOCK } from "./rollup-repository.ts";

/** A tombstone at its place in a stream. */
export interface PlacedTombstone extends Tombstone {
  stream: string;
  /** Position among all messages of the stream. */
  ordinal: number;
  messageId: string;
}

/** What became of a tombstone. */
export interface TombstoneState {
  readingsDeleted: number;
  applied: boolean;
}

/** Rows deleted in one transaction. */
const CHUNK = 20_000;
const TIMES = `to_timestamp($2::float8 / 1e6) AS from_time, to_timestamp($3::float8 / 1e6) AS to_time`;

/**
 * Deletes what the tombstone says, marks the rollups that have to be built anew, and remembers it. From its first
 * commit on no writer stores readings that it covers and that were published before it: that commit waits for
 * writers under way. Killed in between it is finished by calling it again; when it is finished that changes nothing.
 */
export async function applyTombstone(db: Db, tombstone: PlacedTombstone): Promise<void> {
  const { stream, ordinal, device, fromUs, toUs } = tombstone;
  if (!(await remember(db, tombstone))) return;
  const sensors = await db.query<{ id: number }>(
    `SELECT s.id FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id WHERE d.device_code = $1 ORDER BY s.id`,
    [device],
  );
  for (const { id } of sensors) {
    for (const table of ["measurement", "measurement_text"] as const) {
      while ((await deleteChunk(db, table, id, tombstone)) === CHUNK);
    }
  }
  await db.transaction(async (tx) => {
    for (const table of ["quality_flag", "measurement_revision"]) {
      await tx.execute(
        `DELETE FROM public.${table} t USING (SELECT ${TIMES}) r
          WHERE t.sensor_id = ANY($1::int[]) AND t.time >= r.from_time AND t.time < r.to_time`,
        [sensors.map(({ id }) => id), fromUs, toUs],
      );
    }
    const [done] = await tx.query<{ deleted: number }>(
      `UPDATE public.tombstone SET applied_at = now() WHERE stream = $1 AND ordinal = $2 AND applied_at IS NULL
       RETURNING readings_deleted AS deleted`,
      [stream, ordinal],
    );
    if (!done) return;
    const [from, to] = [fromUs, toUs].map((us) => new Date(us / 1000).toISOString());
    // Not by writeAudit: that looks at people, which the worker may not.
    await tx.execute(
      `INSERT INTO audit.events (event_type, severity, entity_type, entity_id, message)
       VALUES ('device.purged', 'warning', 'device', $1, $2)`,
      [device, `${done.deleted} readings from ${from} to ${to} deleted`],
    );
  });
}

/** Whether there is still something to delete. */
function remember(db: Db, t: PlacedTombstone): Promise<boolean> {
  return db.transaction(async (tx) => {
    await tx.query("SELECT pg_advisory_xact_lock($1)", [ROLLUP_LOCK]);
    await tx.execute(
      `INSERT INTO public.tombstone (stream, ordinal, message_id, device, from_time, to_time, published_at)
       VALUES ($1, $2, $3, $4, to_timestamp($5::float8 / 1e6), to_timestamp($6::float8 / 1e6), to_timestamp($7::float8 / 1e6))
       ON CONFLICT DO NOTHING`,
      [t.stream, t.ordinal, t.messageId, t.device, t.fromUs, t.toUs, t.publishedUs],
    );
    const [row] = await tx.query<{ applied: boolean }>(
      "SELECT applied_at IS NOT NULL AS applied FROM public.tombstone WHERE stream = $1 AND ordinal = $2",
      [t.stream, t.ordinal],
    );
    return row?.applied === false;
  });
}

function deleteChunk(
  db: Db,
  table: "measurement" | "measurement_text",
  sensorId: number,
  { stream, ordinal, fromUs, toUs }: PlacedTombstone,
): Promise<number> {
  return db.transaction(async (tx) => {
    const watermarkUs = await holdWatermark(tx);
    const [gone] = await tx.query<{ n: number; first: number | null; last: number | null }>(
      `WITH chunk AS (
         SELECT m.time FROM public.${table} m, (SELECT ${TIMES}) r
          WHERE m.sensor_id = $1 AND m.time >= r.from_time AND m.time < r.to_time ORDER BY m.time LIMIT ${CHUNK}),
       gone AS (
         DELETE FROM public.${table} m USING chunk c WHERE m.sensor_id = $1 AND m.time = c.time RETURNING m.time)
       SELECT count(*) AS n, (extract(epoch FROM min(time)) * 1e6)::float8 AS first,
              (extract(epoch FROM max(time)) * 1e6)::float8 AS last FROM gone`,
      [sensorId, fromUs, toUs],
    );
    const { n = 0, first, last } = gone ?? {};
    if (typeof first !== "number" || typeof last !== "number") return 0;
    if (table === "measurement" && first < watermarkUs)
      await markDirty(tx, [{ sensorId, fromUs: first, toUs: last }]);
    await tx.execute(
      "UPDATE public.tombstone SET readings_deleted = readings_deleted + $3 WHERE stream = $1 AND ordinal = $2",
      [stream, ordinal, n],
    );
    return n;
  });
}

/** Tombstones that come after position `ordinal` of a stream. */
export function findTombstonesAfter(
  tx: Transaction | Queries,
  stream: string,
  ordinal: number,
): Promise<PlacedTombstone[]> {
  return tx.query<PlacedTombstone>(`${SELECT} WHERE stream = $1 AND ordinal > $2 ORDER BY ordinal`, [
    stream,
    ordinal,
  ]);
}

const us = (column: string) => `(extract(epoch FROM ${column}) * 1e6)::int8`;
const SELECT = `SELECT stream, ordinal, message_id AS "messageId", device, ${us("from_time")} AS "fromUs",
  ${us("to_time")} AS "toUs", ${us("published_at")} AS "publishedUs" FROM public.tombstone`;

/** Tombstones of devices. */
export function listTombstones(db: Queries, devices: readonly string[]): Promise<PlacedTombstone[]> {
  return db.query<PlacedTombstone>(`${SELECT} WHERE device = ANY($1::text[])`, [devices]);
}

/** What PostgreSQL has made of a tombstone; undefined where it has not come to it yet. */
export async function findTombstone(db: Queries, messageId: string): Promise<TombstoneState | undefined> {
  const [row] = await db.query<TombstoneState>(
    `SELECT readings_deleted AS "readingsDeleted", applied_at IS NOT NULL AS applied
       FROM public.tombstone WHERE message_id = $1`,
    [messageId],
  );
  return row;
}

/** How many readings a device has in a range, numbers and texts: what a deletion would take. */
export async function countReadingsOf(
  db: Queries,
  device: string,
  fromUs: number,
  toUs: number,
): Promise<number> {
  const [row] = await db.query<{ n: number }>(
    `SELECT coalesce(sum(
              (SELECT count(*) FROM public.measurement m
                WHERE m.sensor_id = s.id AND m.time >= r.from_time AND m.time < r.to_time)
            + (SELECT count(*) FROM public.measurement_text m
                WHERE m.sensor_id = s.id AND m.time >= r.from_time AND m.time < r.to_time)), 0)::int8 AS n
       FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id, (SELECT ${TIMES}) r
      WHERE d.device_code = $1`,
    [device, fromUs, toUs],
  );
  return row?.n ?? 0;
}
