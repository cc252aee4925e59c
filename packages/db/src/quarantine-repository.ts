import type { Reason } from "@sluice/shared-types";
import { float8Array } from "./binary-array.ts";
import type { Db, Queries } from "./open-db.ts";

/** A refusal on its way into quarantine. */
export interface QuarantineInput {
  /** Two with the same key are one row. */
  dedupeKey: string;
  reason: Reason;
  detail: string;
  source: string;
  device?: string | undefined;
  topic?: string | undefined;
  type?: string | undefined;
  boot?: string | undefined;
  seq?: number | undefined;
  index?: number | undefined;
  messageId?: string | undefined;
  receivedUs: number;
  payload: Buffer;
  truncated?: boolean | undefined;
}

/** Keeps refusals; those with a key that is there already are left out. How many were new. */
export async function insertQuarantine(db: Queries, rows: readonly QuarantineInput[]): Promise<number> {
  if (rows.length === 0) return 0;
  const sorted = [...rows].sort((a, b) => (a.dedupeKey < b.dedupeKey ? -1 : 1));
  const text = (pick: (row: QuarantineInput) => string | undefined) =>
    sorted.map((row) => storable(pick(row)));
  return db.execute(
    `INSERT INTO public.quarantine (dedupe_key, reason, detail, source, device, topic, type, boot, seq, sample_index,
                             message_id, received_at, payload, truncated)
     SELECT k, r, de, so, dv, tp, ty, b, q::int8, i::int4, m, to_timestamp(at / 1e6), p, tr
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                   $9::float8[], $10::float8[], $11::text[], $12::float8[], $13::bytea[], $14::bool[])
         AS n(k, r, de, so, dv, tp, ty, b, q, i, m, at, p, tr)
     ON CONFLICT (dedupe_key) DO NOTHING`,
    [
      text((row) => row.dedupeKey),
      text((row) => row.reason),
      text((row) => row.detail),
      text((row) => row.source),
      text((row) => row.device),
      text((row) => row.topic),
      text((row) => row.type),
      text((row) => row.boot),
      float8Array(sorted.map((row) => whole(row.seq, Number.MAX_SAFE_INTEGER))),
      float8Array(sorted.map((row) => whole(row.index, 2 ** 31 - 1))),
      text((row) => row.messageId),
      float8Array(
        sorted.map((row) => (Number.isSafeInteger(row.receivedUs) ? row.receivedUs : Date.now() * 1000)),
      ),
      sorted.map((row) => row.payload),
      sorted.map((row) => row.truncated ?? false),
    ],
  );
}

/** What was refused may claim any number; those that no column holds are left out. */
function whole(value: number | undefined, max: number): number {
  return value !== undefined && Number.isInteger(value) && value >= 0 && value <= max ? value : Number.NaN;
}

/** PostgreSQL takes neither NUL nor half a surrogate pair in text. */
function storable(text: string | undefined): string | null {
  return text === undefined ? null : text.replaceAll("\u0000", "\ufffd").toWellFormed();
}

/** How long and how much quarantine keeps. */
export interface QuarantineBounds {
  days: number;
  maxBytes: number;
}

const PURGED_AT_ONCE = 5_000;

/**
 * Forgets refusals older than `days`, then the oldest ones until what is kept fits in `maxBytes`: those that were
 * settled first. Leaves one line in `audit.events`. Resolves with how many.
 */
export async function purgeQuarantine(
  db: Db,
  { days, maxBytes }: QuarantineBounds,
): Promise<{ old: number; excess: number }> {
  const old = await db.execute(
    `DELETE FROM public.quarantine WHERE id IN (SELECT id FROM public.quarantine
        WHERE created_at < now() - $1 * interval '1 day' LIMIT $2 FOR UPDATE SKIP LOCKED)`,
    [days, PURGED_AT_ONCE],
  );
  const [size] = await db.query<{ bytes: number }>(
    "SELECT coalesce(sum(octet_length(payload) + 500), 0)::int8 AS bytes FROM public.quarantine",
  );
  let excess = 0;
  if ((size?.bytes ?? 0) > maxBytes) {
    excess = await db.execute(
      `DELETE FROM public.quarantine WHERE id IN (SELECT id FROM (
          SELECT id, sum(octet_length(payload) + 500) OVER (ORDER BY status IN ('open', 'fixed') DESC, id DESC) AS upto
            FROM public.quarantine) AS kept WHERE upto > $1)`,
      [maxBytes],
    );
  }
  if (old + excess > 0) {
    await db.execute(
      `INSERT INTO audit.events (event_type, entity_type, message, data) VALUES
         ('quarantine.purged', 'quarantine', 'retention and size', jsonb_build_object('old', $1::int, 'excess', $2::int))`,
      [old, excess],
    );
  }
  return { old, excess };
}
