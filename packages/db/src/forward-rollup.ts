import { readTimestamp, viewOf } from "./binary-array.ts";
import { type Bucket, type CarriedValue, createBucketRollup, type SensorReadings } from "./bucket-rollup.ts";
import type { TimeRange } from "./job-repository.ts";
import type { Queries } from "./open-db.ts";
import { PUT_5M, USABLE } from "./rollup-statements.ts";

const BUCKET_MS = 300_000;
/** Most readings held at once, about 100 bytes each. */
const PIECE = 500_000;
const ROW_BYTES = 16;

/**
 * Makes the 5-minute rows of [fromMs, toMs), which no rollup has covered yet, of every numeric sensor; how many. The
 * readings are read once, by time, where they lie together on disk, packed by the server, and a piece at a time.
 */
export async function rollBucketsForward(
  tx: Queries,
  { fromMs, toMs }: TimeRange,
  piece = PIECE,
): Promise<number> {
  const rollup = createBucketRollup(await listCarried(tx, fromMs));
  let pieceMs = await guessPiece(tx, fromMs, piece / 2);
  for (let atMs = fromMs; atMs < toMs; ) {
    const endMs = Math.min(toMs, atMs + pieceMs);
    const sensors = await readPiece(tx, { fromMs: atMs, toMs: endMs }, piece);
    const readings = sensors.reduce((sum, { packed }) => sum + packed.byteLength / ROW_BYTES, 0);
    if (readings >= piece && endMs - atMs > 1) {
      pieceMs = Math.floor((endMs - atMs) / 2);
      continue;
    }
    for (const sensor of sensors) rollup.add(unpack(sensor));
    atMs = endMs;
    if (readings < piece / 4) pieceMs *= 2;
  }
  return putBuckets(tx, rollup.finish(), fromMs);
}

/** Sensors with the last reading before `fromMs`, as the rollups have it. */
function listCarried(tx: Queries, fromMs: number): Promise<CarriedValue[]> {
  return tx.query<CarriedValue>(
    `SELECT s.id AS "sensorId", c.us AS "lastUs", c.value, (extract(epoch FROM s.max_hold) * 1e6)::float8 AS "maxHoldUs"
       FROM iot.sensors s
       LEFT JOIN LATERAL (SELECT (extract(epoch FROM last_time) * 1e6)::float8 AS us, CASE WHEN NOT ended THEN last END AS value
                            FROM public.rollup_5m r WHERE r.sensor_id = s.id AND r.bucket < $1
                           ORDER BY bucket DESC LIMIT 1) c ON true
      WHERE s.value_type IS DISTINCT FROM 'text'`,
    [new Date(fromMs)],
  );
}

/** How long so many readings probably take to come, going by the 5 minutes before. */
async function guessPiece(tx: Queries, fromMs: number, readings: number): Promise<number> {
  const [row] = await tx.query<{ n: number | null }>(
    "SELECT sum(n) AS n FROM public.rollup_5m WHERE bucket >= $1 AND bucket < $2",
    [new Date(fromMs - BUCKET_MS), new Date(fromMs)],
  );
  return row?.n ? Math.ceil((BUCKET_MS * readings) / row.n) : BUCKET_MS;
}

/** Readings of a sensor, 16 bytes each: microseconds since 2000 and the value, NaN for an error. */
interface PackedReadings {
  sensorId: number;
  packed: Uint8Array;
}

/** Readings in [fromMs, toMs) by sensor; some of them where they are more than a piece, but for a millisecond's. */
const readPiece = (tx: Queries, { fromMs, toMs }: TimeRange, piece: number) =>
  tx.query<PackedReadings>(
    `SELECT sensor_id AS "sensorId",
            string_agg(timestamptz_send(time) || float8send(CASE WHEN ${USABLE} THEN value ELSE 'NaN' END), ''::bytea) AS packed
       FROM (SELECT * FROM public.measurement WHERE time >= $1 AND time < $2 LIMIT $3) r GROUP BY sensor_id`,
    [new Date(fromMs), new Date(toMs), toMs - fromMs > 1 ? piece : null],
  );

function unpack({ sensorId, packed }: PackedReadings): SensorReadings {
  const view = viewOf(packed);
  const length = packed.byteLength / ROW_BYTES;
  const timesUs = new Float64Array(length);
  const values = new Float64Array(length);
  let sorted = true;
  for (let i = 0, at = 0; i < length; i++, at += ROW_BYTES) {
    timesUs[i] = readTimestamp(view, at);
    values[i] = view.getFloat64(at + 8);
    if (i > 0 && (timesUs[i] as number) < (timesUs[i - 1] as number)) sorted = false;
  }
  if (sorted) return { sensorId, timesUs, values };
  const order = Array.from(timesUs.keys()).sort((a, b) => (timesUs[a] as number) - (timesUs[b] as number));
  return {
    sensorId,
    timesUs: Float64Array.from(order, (i) => timesUs[i] as number),
    values: Float64Array.from(order, (i) => values[i] as number),
  };
}

/** Times go as microseconds from `fromMs` on: a Date has none. */
async function putBuckets(tx: Queries, buckets: readonly Bucket[], fromMs: number): Promise<number> {
  if (buckets.length === 0) return 0;
  const since = (us: number | null) => (us === null ? null : us - fromMs * 1000);
  return tx.execute(PUT_5M, [
    new Date(fromMs),
    buckets.map((b) => b.sensorId),
    buckets.map((b) => since(b.bucketUs)),
    buckets.map((b) => b.n),
    buckets.map((b) => b.sum),
    buckets.map((b) => b.m2),
    buckets.map((b) => b.min),
    buckets.map((b) => b.max),
    buckets.map((b) => b.first),
    buckets.map((b) => since(b.firstUs)),
    buckets.map((b) => b.last),
    buckets.map((b) => since(b.lastUs)),
    buckets.map((b) => b.ended),
    buckets.map((b) => b.heldSeconds),
    buckets.map((b) => b.held),
  ]);
}
