import { type Alert, getAlert } from "./alert-repository.ts";
import type { Queries } from "./open-db.ts";

/** Something to be told, taken by one sender. */
export interface Notification {
  id: number;
  event: "raised" | "escalated" | "resolved";
  dedupeKey: string;
  /** Tries before this one. */
  attempts: number;
  /** `secret` is what a webhook is signed with; null for all others. */
  channel: { kind: "email" | "webhook" | "mqtt"; name: string; target: string; secret: string | null };
  alert: Alert;
}

/**
 * Takes up to `limit` notifications that are due, for `holdMs`: a sender that dies leaves them to others. What became of
 * an alert before it could be told is not told at all.
 */
export async function takeNotifications(db: Queries, limit: number, holdMs: number): Promise<Notification[]> {
  await db.execute(
    `UPDATE alert.notification_log n SET status = 'superseded'
      WHERE n.status = 'pending' AND n.next_attempt_at <= now() AND n.event <> 'resolved'
        AND EXISTS (SELECT FROM alert.alerts a WHERE a.id = n.alert_id AND a.status IN ('resolved', 'dismissed'))`,
  );
  // that it is over is news only to who was told of it
  await db.execute(
    `UPDATE alert.notification_log n SET status = 'superseded'
      WHERE n.status = 'pending' AND n.event = 'resolved'
        AND NOT EXISTS (SELECT FROM alert.notification_log o WHERE o.alert_id = n.alert_id AND o.channel_id = n.channel_id
                           AND o.event <> 'resolved' AND (o.status = 'sent' OR o.attempts > 0))`,
  );
  const rows = await db.query<Omit<Notification, "alert"> & { alertId: number }>(
    `WITH due AS (SELECT n.id FROM alert.notification_log n
                   WHERE n.status = 'pending' AND n.next_attempt_at <= now()
                   ORDER BY n.next_attempt_at, n.id LIMIT $1 FOR UPDATE SKIP LOCKED)
     UPDATE alert.notification_log n
        SET attempts = n.attempts + 1, next_attempt_at = now() + $2::float8 * INTERVAL '1 ms'
       FROM due, alert.channels c WHERE n.id = due.id AND c.id = n.channel_id
     RETURNING n.id, n.event, n.dedupe_key AS "dedupeKey", n.attempts - 1 AS attempts, n.alert_id AS "alertId",
               jsonb_build_object('kind', c.kind, 'name', c.name, 'target', c.target, 'secret',
                 (SELECT secret FROM alert.channel_secret s WHERE s.channel_id = c.id)) AS channel`,
    [limit, holdMs],
  );
  return Promise.all(
    rows.map(async ({ alertId, ...row }) => ({ ...row, alert: await getAlert(db, alertId) })),
  );
}

/** It is told. */
export async function noteSent(db: Queries, id: number): Promise<void> {
  await db.execute(
    "UPDATE alert.notification_log SET status = 'sent', sent_at = now(), last_error = NULL WHERE id = $1",
    [id],
  );
}

/** It could not be told: tried again after `retryMs`, or given up where that is undefined. */
export async function noteFailed(
  db: Queries,
  id: number,
  error: string,
  retryMs: number | undefined,
): Promise<void> {
  await db.execute(
    `UPDATE alert.notification_log
        SET last_error = left($2, 1000), status = CASE WHEN $3::float8 IS NULL THEN 'failed' ELSE 'pending' END,
            next_attempt_at = now() + coalesce($3::float8, 0) * INTERVAL '1 ms'
      WHERE id = $1`,
    [id, error, retryMs ?? null],
  );
}

/** A line of the notification log. */
export interface NotificationLine {
  id: number;
  alertId: number;
  channel: string;
  event: string;
  status: string;
  attempts: number;
  error: string | null;
  createdAt: Date;
  sentAt: Date | null;
}

/** The newest lines before `beforeId`, of one alert where named. */
export function listNotifications(
  db: Queries,
  filter: { alertId?: number | undefined; beforeId?: number | undefined },
  limit: number,
): Promise<NotificationLine[]> {
  return db.query<NotificationLine>(
    `SELECT n.id, n.alert_id AS "alertId", c.name AS channel, n.event, n.status, n.attempts, n.last_error AS error,
            n.created_at AS "createdAt", n.sent_at AS "sentAt"
       FROM alert.notification_log n JOIN alert.channels c ON c.id = n.channel_id
      WHERE ($1::int8 IS NULL OR n.alert_id = $1) AND ($2::int8 IS NULL OR n.id < $2) ORDER BY n.id DESC LIMIT $3`,
    [filter.alertId ?? null, filter.beforeId ?? null, limit],
  );
}

/** Deletes what was told longer ago than the `notification_log` retention says; how many lines. */
export function purgeNotifications(db: Queries): Promise<number> {
  return db.execute(
    `DELETE FROM alert.notification_log
      WHERE status <> 'pending' AND created_at < now() - (
        SELECT retention_days FROM audit.data_retention WHERE table_name = 'notification_log' AND is_active) * INTERVAL '1 day'`,
  );
}
