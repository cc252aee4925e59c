import { NotFoundError } from "@sluice/shared-types";
import type { Db, Queries, Transaction } from "./open-db.ts";

/** What became of a refused message since. `fixed` waits to be replayed, as `open` does. */
export type QuarantineStatus = "open" | "fixed" | "replayed" | "discarded";

/** A message, or one sample of one, that could not be stored. */
export interface Quarantined {
  id: number;
  reason: string;
  detail: string;
  source: string;
  device: string | null;
  topic: string | null;
  type: string | null;
  boot: string | null;
  seq: number | null;
  sampleIndex: number | null;
  messageId: string | null;
  receivedAt: Date;
  /** When it arrived, microseconds since the epoch: the time of samples without their own. */
  receivedUs: number;
  /** The bytes as sent, up to a bound; `truncated` says that there were more. */
  payload: Buffer;
  truncated: boolean;
  status: QuarantineStatus;
}

/** Which refusals; everything given must hold. */
export interface QuarantineFilter {
  ids?: readonly number[];
  reason?: string;
  device?: string;
  since?: Date;
  status?: readonly QuarantineStatus[];
  /** Only rows after this id: for going through them in pages. */
  afterId?: number;
}

const COLUMNS = `id, reason, detail, source, device, topic, type, boot, seq, sample_index AS "sampleIndex",
  message_id AS "messageId", received_at AS "receivedAt",
  (extract(epoch FROM received_at) * 1000000)::int8 AS "receivedUs", payload, truncated, status`;

const WHERE = `($1::int8[] IS NULL OR id = ANY($1)) AND ($2::text IS NULL OR reason = $2)
  AND ($3::text IS NULL OR device = $3) AND ($4::timestamptz IS NULL OR created_at >= $4)
  AND ($5::text[] IS NULL OR status = ANY($5)) AND ($6::int8 IS NULL OR id > $6)`;

const conditions = (filter: QuarantineFilter) => [
  filter.ids ?? null,
  filter.reason ?? null,
  filter.device ?? null,
  filter.since ?? null,
  filter.status ?? null,
  filter.afterId ?? null,
];

/** Refusals by id, the newest first or the oldest first. */
export function listQuarantine(
  db: Queries,
  filter: QuarantineFilter,
  options: { limit: number; oldestFirst?: boolean },
): Promise<Quarantined[]> {
  return db.query<Quarantined>(
    `SELECT ${COLUMNS} FROM public.quarantine WHERE ${WHERE} ORDER BY id ${options.oldestFirst ? "ASC" : "DESC"} LIMIT $7`,
    [...conditions(filter), options.limit],
  );
}

/** How many refusals there are, by reason. */
export function countQuarantine(
  db: Queries,
  filter: QuarantineFilter,
): Promise<{ reason: string; count: number }[]> {
  return db.query(
    `SELECT reason, count(*) AS count FROM public.quarantine WHERE ${WHERE} GROUP BY reason ORDER BY count DESC, reason`,
    conditions(filter),
  );
}

/** One refusal. @throws NotFoundError */
export async function getQuarantined(db: Queries, id: number): Promise<Quarantined> {
  const [row] = await listQuarantine(db, { ids: [id] }, { limit: 1 });
  if (!row) throw new NotFoundError(`no refusal ${id} in quarantine`);
  return row;
}

/** What to put in place of what was sent. */
export interface QuarantineFix {
  payload?: string;
  device?: string;
  type?: string;
}

/**
 * Replaces the payload of a refusal, the device it is of, or its type. What was there before is kept in
 * `audit.events`. A refusal that was replayed or discarded is not changed. @throws NotFoundError
 */
export async function fixQuarantined(db: Db, id: number, fix: QuarantineFix): Promise<void> {
  await db.transaction(async (tx) => {
    const [old] = await tx.query<{ payload: Buffer; device: string | null; type: string | null }>(
      "SELECT payload, device, type FROM public.quarantine WHERE id = $1 AND status IN ('open', 'fixed') FOR UPDATE",
      [id],
    );
    if (!old) throw new NotFoundError(`no refusal ${id} in quarantine that waits to be replayed`);
    await tx.execute(
      `UPDATE public.quarantine SET payload = coalesce($2, payload), truncated = truncated AND $2::bytea IS NULL,
         device = coalesce($3, device), type = coalesce($4, type), status = 'fixed', updated_at = now() WHERE id = $1`,
      [
        id,
        fix.payload === undefined ? null : `\\x${Buffer.from(fix.payload).toString("hex")}`,
        fix.device ?? null,
        fix.type ?? null,
      ],
    );
    await audit(tx, "quarantine.fixed", [id], {
      before: { payload: old.payload.toString("base64"), device: old.device, type: old.type },
    });
  });
}

/** Puts aside refusals that wait to be replayed; their rows stay. Resolves with the ids that it put aside. */
export function discardQuarantined(db: Db, ids: readonly number[]): Promise<number[]> {
  return db.transaction(async (tx) => {
    const rows = await tx.query<{ id: number }>(
      `UPDATE public.quarantine SET status = 'discarded', updated_at = now()
        WHERE id = ANY($1) AND status IN ('open', 'fixed') RETURNING id`,
      [ids],
    );
    const discarded = rows.map(({ id }) => id);
    if (discarded.length > 0) await audit(tx, "quarantine.discarded", discarded);
    return discarded;
  });
}

/**
 * Hands up to `limit` waiting refusals, oldest first, to `replay` and marks as replayed those whose ids it
 * gives back. They are locked meanwhile, so that nobody else replays them too; if the process dies between,
 * they stay waiting. Resolves with the rows it handed over.
 */
export function replayQuarantined(
  db: Db,
  filter: QuarantineFilter,
  limit: number,
  replay: (rows: Quarantined[]) => Promise<readonly number[]>,
): Promise<Quarantined[]> {
  const waiting = { ...filter, status: ["open", "fixed"] as const };
  return db.transaction(async (tx) => {
    const rows = await tx.query<Quarantined>(
      `SELECT ${COLUMNS} FROM public.quarantine WHERE ${WHERE} ORDER BY id LIMIT $7 FOR UPDATE SKIP LOCKED`,
      [...conditions(waiting), limit],
    );
    if (rows.length === 0) return rows;
    const replayed = await replay(rows);
    if (replayed.length > 0) {
      await tx.execute(
        "UPDATE public.quarantine SET status = 'replayed', updated_at = now() WHERE id = ANY($1)",
        [replayed],
      );
      await audit(tx, "quarantine.replayed", replayed);
    }
    return rows;
  });
}

async function audit(
  tx: Transaction,
  event: string,
  ids: readonly number[],
  data: object = {},
): Promise<void> {
  await tx.execute(
    `INSERT INTO audit.events (event_type, entity_type, entity_id, message, data)
     SELECT $1::text, 'quarantine', id::text, $1::text, $3::jsonb FROM unnest($2::int8[]) AS id`,
    [event, ids, JSON.stringify(data)],
  );
}
