import { float8Array, int4Array } from "./binary-array.ts";
import type { Queries } from "./open-db.ts";

/** What a batch says about a device. Times are microseconds; NaN where it says nothing. */
export interface Presence {
  deviceId: number;
  status?: "online" | "offline" | undefined;
  /** Instant of `status`: the newest wins, in whatever order they are written. */
  statusUs: number;
  heartbeatUs: number;
  dataUs: number;
  /** Whose clock its last live message was stored under. */
  clock?: string | undefined;
  /** Server time minus device time, the least of its live messages. */
  skewUs: number;
}

/**
 * Brings `iot.devices` up to date, rows in order of their key. Nothing ever goes back in time. A smaller skew is
 * believed at once, a greater one by a tenth each time: a message that was held up looks like a slow clock.
 */
export async function updatePresence(db: Queries, presences: readonly Presence[]): Promise<void> {
  if (presences.length === 0) return;
  const sorted = [...presences].sort((a, b) => a.deviceId - b.deviceId);
  const ids = int4Array(sorted.map((p) => p.deviceId));
  await db.execute(
    `WITH locked AS (SELECT id FROM iot.devices WHERE id = ANY ($1::int[]) ORDER BY id FOR NO KEY UPDATE),
          said AS (SELECT d, s, to_timestamp(st / 1e6) AS st, to_timestamp(hb / 1e6) AS hb, to_timestamp(da / 1e6) AS da,
                         cl, sk / 1e3 AS sk
                     FROM unnest($1::int[], $2::text[], $3::float8[], $4::float8[], $5::float8[],
                                 $6::text[], $7::float8[]) AS n(d, s, st, hb, da, cl, sk) JOIN locked ON locked.id = d)
     UPDATE iot.devices SET
       status = CASE WHEN s IS NOT NULL AND status NOT IN ('maintenance', 'error')
                      AND st >= coalesce(status_at, '-infinity') THEN s ELSE status END,
       status_at = greatest(status_at, CASE WHEN s IS NOT NULL THEN st END),
       last_heartbeat = greatest(last_heartbeat, hb),
       last_data_received = greatest(last_data_received, da),
       clock = coalesce(cl, clock),
       clock_skew_ms = CASE WHEN sk IS NULL THEN clock_skew_ms
                            WHEN clock_skew_ms IS NULL OR sk < clock_skew_ms THEN sk
                            ELSE clock_skew_ms + (sk - clock_skew_ms) * 0.1 END
     FROM said WHERE id = d`,
    [
      ids,
      sorted.map((p) => p.status ?? null),
      float8Array(sorted.map((p) => p.statusUs)),
      float8Array(sorted.map((p) => p.heartbeatUs)),
      float8Array(sorted.map((p) => p.dataUs)),
      sorted.map((p) => p.clock ?? null),
      float8Array(sorted.map((p) => p.skewUs)),
    ],
  );
}
