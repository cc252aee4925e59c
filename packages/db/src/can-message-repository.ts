import { NotFoundError } from "@sluice/shared-types";
import { float8Array } from "./binary-array.ts";
import type { Db, Queries } from "./open-db.ts";

/** A row of the source system's table. */
export interface CanMessageRow {
  id: number;
  timeUs: number | null;
  node: number | null;
  messageType: string | null;
  /** JSON text. */
  decoded: string | null;
}

/** Reads the source system's `can_messages`; never writes it. */
export interface CanMessages {
  /** Rows with a higher id, lowest first. */
  after(id: number, limit: number): Promise<CanMessageRow[]>;
  /** How many there are up to and including an id, and the bounds of their times. */
  summary(upToId: number): Promise<{ rows: number; first: Date | null; last: Date | null }>;
  /** The highest id; 0 where there is none. */
  lastId(): Promise<number>;
}

/**
 * Opens the table, whatever type its times and its JSON have. Times without a zone are taken to be in `timeZone`.
 * @throws NotFoundError where it is not there
 */
export async function findCanMessages(db: Queries, timeZone: string): Promise<CanMessages> {
  const columns = await db.query<{ name: string; type: string }>(
    `SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
      WHERE attrelid = to_regclass('can_messages') AND attnum > 0 AND NOT attisdropped`,
  );
  if (columns.length === 0) throw new NotFoundError("there is no table can_messages in this database");
  const type = columns.find(({ name }) => name === "timestamp")?.type ?? "";
  const time = /^timestamp.*without/.test(type)
    ? `"timestamp" AT TIME ZONE $$${timeZone.replaceAll("$", "")}$$`
    : /^timestamp/.test(type)
      ? '"timestamp"'
      : 'to_timestamp("timestamp")';
  return {
    after: (id, limit) =>
      db.query<CanMessageRow>(
        `SELECT id, (extract(epoch FROM ${time}) * 1000000)::int8 AS "timeUs", node_id::int AS node,
                message_type AS "messageType", decoded_data::text AS decoded
           FROM can_messages WHERE id > $1 ORDER BY id LIMIT $2`,
        [id, limit],
      ),
    async summary(upToId) {
      const [row] = await db.query<{ rows: number; first: Date | null; last: Date | null }>(
        `SELECT count(*) AS rows, min(${time}) AS first, max(${time}) AS last FROM can_messages WHERE id <= $1`,
        [upToId],
      );
      return row ?? { rows: 0, first: null, last: null };
    },
    async lastId() {
      const [row] = await db.query<{ id: number | null }>("SELECT max(id) AS id FROM can_messages");
      return row?.id ?? 0;
    },
  };
}

/** A reading that should be stored. */
export interface ExpectedReading {
  device: string;
  field: string;
  timeUs: number;
  value: number | null;
}

/** Which of `expected` are not stored at all, or with another value, as indexes. */
export async function findDifferences(
  db: Queries,
  expected: readonly ExpectedReading[],
): Promise<{ missing: number[]; different: number[] }> {
  const rows = await db.query<{ i: number; there: boolean }>(
    `SELECT e.i::int AS i, m.time IS NOT NULL AS there
       FROM unnest($1::text[], $2::text[], $3::int8[], $4::float8[]) WITH ORDINALITY AS e(device, field, us, value, i)
       LEFT JOIN iot.devices d ON d.device_code = e.device
       LEFT JOIN iot.sensors s ON s.device_id = d.id AND s.sensor_code = e.field
       LEFT JOIN public.measurement m ON m.sensor_id = s.id
         AND m.time = TIMESTAMPTZ '1970-01-01 00:00:00Z' + e.us * INTERVAL '1 microsecond'
      WHERE m.time IS NULL OR coalesce(m.value, 'NaN') <> e.value`,
    [
      expected.map(({ device }) => device),
      expected.map(({ field }) => field),
      expected.map(({ timeUs }) => timeUs),
      float8Array(expected.map(({ value }) => value ?? Number.NaN)),
    ],
  );
  return {
    missing: rows.filter(({ there }) => !there).map(({ i }) => i - 1),
    different: rows.filter(({ there }) => there).map(({ i }) => i - 1),
  };
}

const PROGRESS = "migrate.can_messages";

/** The highest id whose readings are safely on their way; 0 before the first. */
export async function findCanProgress(db: Queries): Promise<number> {
  const [row] = await db.query<{ id: number | null }>(
    "SELECT (value ->> 'last_id')::int8 AS id FROM core.system_config WHERE key = $1",
    [PROGRESS],
  );
  return row?.id ?? 0;
}

/** Notes how far it is. */
export async function saveCanProgress(db: Db, lastId: number): Promise<void> {
  await db.execute(
    `INSERT INTO core.system_config (key, value, description)
     VALUES ($1, jsonb_build_object('last_id', $2::int8, 'updated_at', now()), 'Rows of can_messages that were migrated')
     ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = now()`,
    [PROGRESS, lastId],
  );
}
