import type { Reason } from "@sluice/shared-types";
import { float8Array } from "./binary-array.ts";
import type { Queries } from "./open-db.ts";

/** A connection, subscription or request that was turned away. */
export interface TurnedAwayInput {
  /** Two with the same id are one. */
  messageId: string;
  reason: Reason;
  detail: string;
  source: string;
  address: string;
  /** As they called themselves; empty where they said nothing. */
  username: string;
  clientId: string;
  /** How many this one stands for. */
  times: number;
  receivedUs: number;
  payload: Buffer;
}

/** All refusals of one sender for one reason. */
export interface ConnectionRefusal {
  id: number;
  reason: string;
  source: string;
  address: string;
  username: string;
  clientId: string;
  /** One sentence, with who it was. */
  detail: string;
  /** At least so many. */
  times: number;
  firstAt: Date;
  lastAt: Date;
}

/** Counts refusals, one row for each reason and sender; what is delivered again is counted once. */
export async function noteConnectionRefusals(db: Queries, all: readonly TurnedAwayInput[]): Promise<void> {
  const rows = [...sumUp(all)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  if (rows.length === 0) return;
  const text = (pick: (row: Sum) => string) =>
    rows.map((row) => pick(row).replaceAll("\u0000", "\ufffd").toWellFormed());
  await db.execute(
    `INSERT INTO public.connection_refusal AS kept (reason, source, address, username, client_id, detail, last_message,
            times, first_at, last_at, payload)
     SELECT r, s, a, u, c, d, m, t::int8, to_timestamp(f / 1e6), to_timestamp(l / 1e6), p
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::float8[],
                   $9::float8[], $10::float8[], $11::bytea[]) AS n(r, s, a, u, c, d, m, t, f, l, p)
     ON CONFLICT (reason, source, address, username, client_id) DO UPDATE SET
       times = kept.times + excluded.times, last_at = greatest(kept.last_at, excluded.last_at),
       detail = excluded.detail, payload = excluded.payload, last_message = excluded.last_message
     WHERE kept.last_message <> excluded.last_message`,
    [
      text((row) => row.reason),
      text((row) => row.source),
      text((row) => row.address),
      text((row) => row.username),
      text((row) => row.clientId),
      text((row) => row.detail),
      text((row) => row.messageId),
      float8Array(rows.map((row) => row.times)),
      float8Array(rows.map((row) => row.firstUs)),
      float8Array(rows.map((row) => row.receivedUs)),
      rows.map((row) => row.payload),
    ],
  );
}

type Sum = TurnedAwayInput & { firstUs: number };

/** One statement may touch a row once only. */
function sumUp(all: readonly TurnedAwayInput[]): Map<string, Sum> {
  const sums = new Map<string, Sum>();
  for (const row of all) {
    const key = JSON.stringify([row.reason, row.source, row.address, row.username, row.clientId]);
    const before = sums.get(key);
    sums.set(key, {
      ...row,
      times: row.times + (before?.times ?? 0),
      firstUs: Math.min(row.receivedUs, before?.firstUs ?? row.receivedUs),
    });
  }
  return sums;
}

/** Who was turned away since, the latest first; with `of` only whoever gave one of these as user name or client id. */
export function listConnectionRefusals(
  db: Queries,
  filter: { since: Date; of?: readonly string[] | undefined; limit: number },
): Promise<ConnectionRefusal[]> {
  return db.query<ConnectionRefusal>(
    `SELECT id, reason, source, address, username, client_id AS "clientId", detail, times, first_at AS "firstAt",
            last_at AS "lastAt"
       FROM public.connection_refusal
      WHERE last_at >= $1 AND ($2::text[] IS NULL OR username = ANY ($2) OR client_id = ANY ($2))
      ORDER BY last_at DESC, id DESC LIMIT $3`,
    [filter.since, filter.of ?? null, filter.limit],
  );
}

const KEPT_DAYS = 30;
const KEPT_ROWS = 10_000;

/** Forgets senders not heard of for 30 days, and all but the latest 10,000. Resolves with how many. */
export function purgeConnectionRefusals(db: Queries, keptRows = KEPT_ROWS): Promise<number> {
  return db.execute(
    `DELETE FROM public.connection_refusal WHERE last_at < now() - $1 * interval '1 day'
        OR id IN (SELECT id FROM public.connection_refusal ORDER BY last_at DESC, id DESC OFFSET $2)`,
    [KEPT_DAYS, keptRows],
  );
}
