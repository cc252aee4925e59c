import { NotFoundError } from "@sluice/shared-types";
import type { ChartRange } from "./chart-repository.ts";
import type { Db, Queries } from "./open-db.ts";

/** A reading of a device. */
export interface DeviceReading {
  timeUs: number;
  field: string;
  value: number | string | null;
  status: string;
}

const AT = (parameter: number) => `to_timestamp(0) + $${parameter}::int8 * INTERVAL '1 microsecond'`;

/** The newest `limit` readings of a device in a range, calibrated, the newest first; of one field where named. */
export function listDeviceReadings(
  db: Queries,
  device: string,
  range: ChartRange & { field?: string | undefined },
  limit: number,
): Promise<DeviceReading[]> {
  return db.query<DeviceReading>(
    `SELECT (extract(epoch FROM r.time) * 1000000)::int8 AS "timeUs", s.sensor_code AS field, r.value, r.status
       FROM iot.devices d JOIN iot.sensors s ON s.device_id = d.id
      CROSS JOIN LATERAL (
        (SELECT time, to_jsonb(value + s.calibration_offset) AS value, status FROM public.measurement
          WHERE sensor_id = s.id AND time >= ${AT(2)} AND time < ${AT(3)} ORDER BY time DESC LIMIT $5)
        UNION ALL
        (SELECT time, to_jsonb(value), 'ok' FROM public.measurement_text
          WHERE sensor_id = s.id AND time >= ${AT(2)} AND time < ${AT(3)} ORDER BY time DESC LIMIT $5)) r
      WHERE d.device_code = $1 AND ($4::text IS NULL OR s.sensor_code = $4)
      ORDER BY r.time DESC, s.sensor_code LIMIT $5`,
    [device, range.fromUs, range.toUs, range.field ?? null, limit],
  );
}

/** What can be made of the readings in a window. */
export const AGGREGATIONS = {
  mean: "avg(v)",
  sum: "sum(v)",
  count: "count(v)::float8",
  min: "min(v)",
  max: "max(v)",
  first: "(array_agg(v ORDER BY time))[1]",
  last: "(array_agg(v ORDER BY time DESC))[1]",
  median: "percentile_cont(0.5) WITHIN GROUP (ORDER BY v)",
} as const;
/** One of {@link AGGREGATIONS}. */
export type Aggregation = keyof typeof AGGREGATIONS;

/** One figure per window of `windowUs` that has readings, oldest first. */
export function aggregateReadings(
  db: Queries,
  sensor: { id: number; calibrationOffset: number },
  range: ChartRange,
  how: { aggregation: Aggregation; windowUs: number; limit: number },
): Promise<{ timeUs: number; value: number }[]> {
  return db.query(
    `SELECT (extract(epoch FROM bin) * 1000000)::int8 AS "timeUs", ${AGGREGATIONS[how.aggregation]} AS value
       FROM (SELECT date_bin($4::int8 * INTERVAL '1 microsecond', time, TIMESTAMPTZ '1970-01-01 00:00Z') AS bin, time, value + $5::float8 AS v
               FROM public.measurement WHERE sensor_id = $1 AND time >= ${AT(2)} AND time < ${AT(3)}
                AND status <> 'error' AND value > '-Infinity' AND value < 'Infinity') r
      GROUP BY bin ORDER BY bin LIMIT $6`,
    [sensor.id, range.fromUs, range.toUs, how.windowUs, sensor.calibrationOffset, how.limit],
  );
}

/** A batch of plants. */
export interface Batch {
  id: number;
  batch_code: string;
  variety: string;
  variety_name: string;
  zone_id: number | null;
  zone: string | null;
  plant_date: string;
  expected_harvest_date: string | null;
  actual_harvest_date: string | null;
  plant_count: number | null;
  status: string;
  stage: string | null;
  stage_started_at: Date | null;
}

/** Batches after an id, of a status where named, up to `limit`. */
export function listBatches(
  db: Queries,
  filter: { id?: number | undefined; after?: number | undefined; status?: string | undefined },
  limit: number,
): Promise<Batch[]> {
  return db.query<Batch>(
    `SELECT b.id, b.batch_code, v.code AS variety, v.name AS variety_name, b.zone_id, z.name AS zone,
            b.plant_date::text, b.expected_harvest_date::text, b.actual_harvest_date::text, b.plant_count, b.status,
            g.stage_name AS stage, s.started_at AS stage_started_at
       FROM crop.batches b JOIN crop.varieties v ON v.id = b.variety_id
       LEFT JOIN core.zones z ON z.id = b.zone_id
       LEFT JOIN crop.batch_stages s ON s.batch_id = b.id AND s.ended_at IS NULL
       LEFT JOIN crop.growth_stage_definitions g ON g.id = s.stage_def_id
      WHERE ($1::int IS NULL OR b.id = $1) AND ($2::int IS NULL OR b.id > $2) AND ($3::text IS NULL OR b.status = $3)
      ORDER BY b.id LIMIT $4`,
    [filter.id ?? null, filter.after ?? null, filter.status ?? null, limit],
  );
}

/** Notes a harvest of an active batch and ends it. @throws NotFoundError where there is no active batch of that id */
export async function harvestBatch(
  db: Db,
  id: number,
  harvest: { weightKg?: number | undefined; quality?: string | undefined; notes?: string | undefined },
): Promise<void> {
  await db.transaction(async (tx) => {
    const ended = await tx.execute(
      `UPDATE crop.batches SET status = 'harvested', actual_harvest_date = CURRENT_DATE, updated_at = now()
        WHERE id = $1 AND status = 'active'`,
      [id],
    );
    if (ended === 0) throw new NotFoundError(`no active batch ${id}`);
    await tx.execute(
      "INSERT INTO crop.harvests (batch_id, harvest_date, weight_kg, quality_grade, notes) VALUES ($1, CURRENT_DATE, $2, $3, $4)",
      [id, harvest.weightKg ?? null, harvest.quality ?? null, harvest.notes ?? null],
    );
    await tx.execute(
      "UPDATE crop.batch_stages SET ended_at = now() WHERE batch_id = $1 AND ended_at IS NULL",
      [id],
    );
  });
}
