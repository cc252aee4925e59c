import { NotFoundError } from "@sluice/shared-types";
import { VARIETIES } from "./crop-varieties.ts";
import type { Db } from "./open-db.ts";

/** How much a seeding added. */
export interface SeedResult {
  varieties: number;
  stages: number;
}

/** Adds the reference varieties and stages that are missing. What is there, edited or not, stays as it is. */
export async function seedVarieties(db: Db): Promise<SeedResult> {
  return db.transaction(async (tx) => {
    const varieties = await tx.execute(
      `INSERT INTO crop.varieties (code, name, category, scientific_name)
       SELECT * FROM jsonb_to_recordset($1::jsonb) AS v (code text, name text, category text, "scientificName" text)
       ON CONFLICT (code) DO NOTHING`,
      [JSON.stringify(VARIETIES)],
    );
    const stages = VARIETIES.flatMap(({ code, stages }) =>
      stages.map(({ name, days, temperature, humidity, ph, ec }, i) => ({
        code,
        stage_order: i + 1,
        stage_name: name,
        min_days: days?.[0],
        max_days: days?.[1],
        temp_min: temperature?.[0],
        temp_max: temperature?.[1],
        humidity_min: humidity?.[0],
        humidity_max: humidity?.[1],
        ph_min: ph?.[0],
        ph_max: ph?.[1],
        ec_min: ec?.[0],
        ec_max: ec?.[1],
      })),
    );
    const added = await tx.execute(
      `INSERT INTO crop.growth_stage_definitions (variety_id, stage_order, stage_name, min_days, max_days,
              optimal_temp_min, optimal_temp_max, optimal_humidity_min, optimal_humidity_max,
              optimal_ph_min, optimal_ph_max, optimal_ec_min, optimal_ec_max)
       SELECT v.id, s.stage_order, s.stage_name, s.min_days, s.max_days, temp_min, temp_max, humidity_min, humidity_max,
              ph_min, ph_max, ec_min, ec_max
         FROM jsonb_to_recordset($1::jsonb) AS s (code text, stage_order int, stage_name text, min_days int, max_days int,
              temp_min numeric, temp_max numeric, humidity_min numeric, humidity_max numeric, ph_min numeric,
              ph_max numeric, ec_min numeric, ec_max numeric)
         JOIN crop.varieties v ON v.code = s.code
       ON CONFLICT DO NOTHING`,
      [JSON.stringify(stages)],
    );
    return { varieties, stages: added };
  });
}

/** A batch to plant. */
export interface NewBatch {
  /** Code of the variety. */
  variety: string;
  zoneId: number;
  plantDate?: string;
  plantCount?: number;
  /** Name of the stage it begins in; the first one by default. */
  stage?: string;
}

/** Plants a batch: it is active, and its first stage is open. @throws NotFoundError on an unknown variety, stage or zone */
export async function createBatch(db: Db, batch: NewBatch): Promise<{ id: number; batchCode: string }> {
  return db.transaction(async (tx) => {
    const [stage] = await tx.query<{ id: number; variety_id: number }>(
      `SELECT g.id, g.variety_id FROM crop.growth_stage_definitions g JOIN crop.varieties v ON v.id = g.variety_id
        WHERE v.code = $1 AND ($2::text IS NULL OR g.stage_name = $2) ORDER BY g.stage_order LIMIT 1`,
      [batch.variety, batch.stage ?? null],
    );
    const [zone] = await tx.query("SELECT FROM core.zones WHERE id = $1", [batch.zoneId]);
    if (!stage) throw new NotFoundError(`no variety '${batch.variety}' with stage '${batch.stage ?? "any"}'`);
    if (!zone) throw new NotFoundError(`no zone ${batch.zoneId}`);
    const [row] = await tx.query<{ id: number; batch_code: string }>(
      `INSERT INTO crop.batches (batch_code, variety_id, zone_id, plant_date, plant_count)
       VALUES (crop.generate_batch_code($1), $2, $3, coalesce($4::date, CURRENT_DATE), $5) RETURNING id, batch_code`,
      [batch.variety, stage.variety_id, batch.zoneId, batch.plantDate ?? null, batch.plantCount ?? null],
    );
    if (!row) throw new Error("the batch was not inserted");
    await tx.execute("INSERT INTO crop.batch_stages (batch_id, stage_def_id) VALUES ($1, $2)", [
      row.id,
      stage.id,
    ]);
    return { id: row.id, batchCode: row.batch_code };
  });
}

/** Ends a batch and its open stage. @throws NotFoundError where there is no active batch of that id */
export async function closeBatch(
  db: Db,
  id: number,
  status: "harvested" | "failed" | "aborted",
): Promise<void> {
  await db.transaction(async (tx) => {
    const closed = await tx.execute(
      `UPDATE crop.batches SET status = $2, updated_at = now(),
              actual_harvest_date = CASE WHEN $2::text = 'harvested' THEN CURRENT_DATE END
        WHERE id = $1 AND status = 'active'`,
      [id, status],
    );
    if (closed === 0) throw new NotFoundError(`no active batch ${id}`);
    await tx.execute(
      "UPDATE crop.batch_stages SET ended_at = now() WHERE batch_id = $1 AND ended_at IS NULL",
      [id],
    );
  });
}
