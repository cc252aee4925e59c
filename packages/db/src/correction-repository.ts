import { float8Array, int4Array, timestampArray } from "./binary-array.ts";
import type { Transaction } from "./open-db.ts";

/** An explicit correction of one reading; `text` for a text sensor, otherwise `value` (NaN for none). */
export interface Correction {
  sensorId: number;
  timeUs: number;
  value: number;
  text?: string | undefined;
  clock: number;
  receivedUs: number;
  messageId: string;
  /** Message of the batch it came in. */
  message: number;
}

interface Existing {
  ord: number;
  value: number | null;
  status: string | null;
  text: string | null;
  newer: boolean;
}

/**
 * Puts corrections in place of what is stored, keeping the old value in `measurement_revision`. Keys are distinct.
 * Resolves with the indexes of those that changed something: not those that say what is stored already, nor those
 * older than a correction already applied.
 */
export async function applyCorrections(
  tx: Transaction,
  corrections: readonly Correction[],
): Promise<Set<number>> {
  const changed = new Set<number>();
  if (corrections.length === 0) return changed;
  const keys = [
    int4Array(corrections.map((c) => c.sensorId)),
    timestampArray(corrections.map((c) => c.timeUs)),
    corrections.map((c) => c.text !== undefined),
    float8Array(corrections.map((c) => c.receivedUs)),
  ];
  // Readings that are missing go in first: then every key has a row to lock, and nobody can slip in between.
  for (const index of await insertMissing(tx, corrections)) changed.add(index);
  const existing = await tx.query<Existing>(
    `SELECT n.ord, m.value, m.status, x.value AS text,
            EXISTS (SELECT FROM public.measurement_revision r WHERE r.sensor_id = n.s AND r.time = n.t
                      AND r.received_at > to_timestamp(n.at / 1e6)) AS newer
       FROM unnest($1::int[], $2::timestamptz[], $3::bool[], $4::float8[]) WITH ORDINALITY AS n(s, t, is_text, at, ord)
       LEFT JOIN LATERAL (SELECT value, status FROM public.measurement
                           WHERE NOT is_text AND sensor_id = n.s AND time = n.t FOR UPDATE) m ON true
       LEFT JOIN LATERAL (SELECT value FROM public.measurement_text
                           WHERE is_text AND sensor_id = n.s AND time = n.t FOR UPDATE) x ON true
      ORDER BY n.ord`,
    keys,
  );
  const replaced: { was: Existing; index: number }[] = [];
  for (const was of existing) {
    const index = was.ord - 1;
    const now = corrections[index];
    if (!now || changed.has(index) || was.newer) continue;
    const same =
      now.text === undefined ? Object.is(was.value ?? Number.NaN, now.value) : was.text === now.text;
    if (!same) replaced.push({ was, index });
  }
  await replace(tx, corrections, replaced);
  for (const { index } of replaced) changed.add(index);
  return changed;
}

async function insertMissing(tx: Transaction, corrections: readonly Correction[]): Promise<number[]> {
  const added: number[] = [];
  for (const [table, isText] of [
    ["measurement", false],
    ["measurement_text", true],
  ] as const) {
    const wanted = [...corrections.keys()].filter((i) => (corrections[i]?.text !== undefined) === isText);
    if (wanted.length === 0) continue;
    const of = wanted.map((i) => corrections[i] as Correction);
    const rows = await tx.query<{ sensor_id: number; us: number }>(
      isText
        ? `INSERT INTO public.${table} (sensor_id, time, value, clock)
           SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::text[], $4::int[]) ON CONFLICT DO NOTHING
           RETURNING sensor_id, (extract(epoch FROM time) * 1e6)::int8 AS us`
        : `INSERT INTO public.${table} (sensor_id, time, value, status, clock)
           SELECT s, t, v, CASE WHEN v IS NULL THEN 'error' ELSE 'ok' END, c
             FROM unnest($1::int[], $2::timestamptz[], $3::float8[], $4::int[]) AS n(s, t, v, c)
           ON CONFLICT DO NOTHING RETURNING sensor_id, (extract(epoch FROM time) * 1e6)::int8 AS us`,
      [
        int4Array(of.map((c) => c.sensorId)),
        timestampArray(of.map((c) => c.timeUs)),
        isText ? of.map((c) => c.text) : float8Array(of.map((c) => c.value)),
        int4Array(of.map((c) => c.clock)),
      ],
    );
    const keys = new Set(rows.map((row) => `${row.sensor_id}/${row.us}`));
    added.push(...wanted.filter((i) => keys.has(`${corrections[i]?.sensorId}/${corrections[i]?.timeUs}`)));
  }
  return added;
}

async function replace(
  tx: Transaction,
  corrections: readonly Correction[],
  replaced: readonly { was: Existing; index: number }[],
): Promise<void> {
  if (replaced.length === 0) return;
  const now = replaced.map(({ index }) => corrections[index] as Correction);
  const params = [
    int4Array(now.map((c) => c.sensorId)),
    timestampArray(now.map((c) => c.timeUs)),
    float8Array(now.map((c) => (c.text === undefined ? c.value : Number.NaN))),
    now.map((c) => c.text ?? null),
  ];
  const source = "unnest($1::int[], $2::timestamptz[], $3::float8[], $4::text[]";
  await tx.execute(
    `INSERT INTO public.measurement_revision (sensor_id, time, new_value, new_text, new_status, old_value, old_status,
                                       old_text, received_at, message_id)
     SELECT s, t, v, x, CASE WHEN x IS NULL THEN CASE WHEN v IS NULL THEN 'error' ELSE 'ok' END END, ov, os, ox,
            to_timestamp(at / 1e6), m
       FROM ${source}, $5::float8[], $6::text[], $7::text[], $8::float8[], $9::text[]) AS n(s, t, v, x, ov, os, ox, at, m)`,
    [
      ...params,
      float8Array(replaced.map(({ was }) => was.value ?? Number.NaN)),
      replaced.map(({ was }) => was.status),
      replaced.map(({ was }) => was.text),
      float8Array(now.map((c) => c.receivedUs)),
      now.map((c) => c.messageId),
    ],
  );
  await tx.execute(
    `UPDATE public.measurement m SET value = v, status = CASE WHEN v IS NULL THEN 'error' ELSE 'ok' END
       FROM ${source}) AS n(s, t, v, x) WHERE m.sensor_id = s AND m.time = t AND x IS NULL`,
    params,
  );
  await tx.execute(
    `UPDATE public.measurement_text m SET value = x
       FROM ${source}) AS n(s, t, v, x) WHERE m.sensor_id = s AND m.time = t AND x IS NOT NULL`,
    params,
  );
}
