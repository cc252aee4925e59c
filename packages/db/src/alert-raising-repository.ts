import type { Severity } from "./alert-rule-repository.ts";
import { COMMAND_LIFE_MS } from "./command-repository.ts";
import type { Transaction } from "./open-db.ts";

/** An alert that readings raise, or raise from preventive to beyond the limit. */
export interface RaisedAlert {
  ruleId: number;
  /** Of the rule as it was read; another one raises nothing. */
  version: number;
  deviceId: number;
  sensorId: number;
  level: 1 | 2;
  severity: Severity;
  /** Microseconds. */
  triggeredUs: number;
  sinceUs: number;
  value: number;
  threshold: number | null;
  title: string;
  message: string;
}

/** Raises alerts, with their notifications and commands; one that is active already is left as it is. How many were new. */
export async function raiseAlerts(tx: Transaction, alerts: readonly RaisedAlert[]): Promise<number> {
  if (alerts.length === 0) return 0;
  const rows = await tx.query<{ id: number }>(
    `INSERT INTO alert.alerts (rule_id, device_id, sensor_id, triggered_at, severity, title, message, current_value,
                               threshold_violated, level, metadata)
     SELECT r.id, n."deviceId", n."sensorId", to_timestamp(n."triggeredUs" / 1e6), n.severity, left(n.title, 500),
            n.message, n.value, n.threshold, n.level, jsonb_build_object('since', to_timestamp(n."sinceUs" / 1e6))
       FROM jsonb_to_recordset($1::jsonb) AS n("ruleId" int, version int, "deviceId" int, "sensorId" int,
              "triggeredUs" float8, "sinceUs" float8, severity text, title text, message text, value float8,
              threshold float8, level int2)
       JOIN alert.rules r ON r.id = n."ruleId" AND r.version = n.version AND r.is_active
       JOIN iot.sensors s ON s.id = n."sensorId" AND s.device_id = n."deviceId"
        FOR KEY SHARE OF r
     ON CONFLICT DO NOTHING RETURNING id`,
    [JSON.stringify(alerts)],
  );
  await tell(tx, ids(rows), "raised");
  return rows.length;
}

/** Raises preventive alerts to the severity of their rule, now that the limit is passed. */
export async function promoteAlerts(tx: Transaction, alerts: readonly RaisedAlert[]): Promise<void> {
  if (alerts.length === 0) return;
  const rows = await tx.query<{ id: number }>(
    `UPDATE alert.alerts a SET level = 2, severity = CASE
              WHEN alert.severity_rank(a.severity) > alert.severity_rank(n.severity) THEN a.severity ELSE n.severity END,
            title = left(n.title, 500), message = n.message, current_value = n.value, threshold_violated = n.threshold,
            status = 'open'
       FROM jsonb_to_recordset($1::jsonb) AS n("ruleId" int, "sensorId" int, severity text, title text, message text,
              value float8, threshold float8)
      WHERE a.rule_id = n."ruleId" AND a.sensor_id = n."sensorId" AND a.status IN ('open', 'acknowledged') AND a.level = 1
     RETURNING a.id`,
    [JSON.stringify(alerts)],
  );
  await tell(tx, ids(rows), "raised");
}

/** A condition that is over. */
export interface EndedAlert {
  ruleId: number;
  sensorId: number;
  endedUs: number;
}

/** Ends alerts whose condition is over. */
export async function endAlerts(tx: Transaction, ended: readonly EndedAlert[]): Promise<void> {
  if (ended.length === 0) return;
  const rows = await tx.query<{ id: number }>(
    `UPDATE alert.alerts a SET status = 'resolved', resolved_at = to_timestamp(n."endedUs" / 1e6),
            resolution_notes = 'the condition is over'
       FROM jsonb_to_recordset($1::jsonb) AS n("ruleId" int, "sensorId" int, "endedUs" float8)
      WHERE a.rule_id = n."ruleId" AND a.sensor_id = n."sensorId" AND a.status IN ('open', 'acknowledged')
     RETURNING a.id`,
    [JSON.stringify(ended)],
  );
  await tell(tx, ids(rows), "resolved");
}

/**
 * Raises an alert for every device that has been silent for longer than a `device_offline` rule allows, at `clockMs`,
 * which is how far the messages are known. Silence is reckoned from `listeningSinceMs` at the earliest: before that
 * nobody listened. A device that said that it goes is offline since then. How many were raised.
 */
export async function raiseOffline(
  tx: Transaction,
  { clockMs, listeningSinceMs }: { clockMs: number; listeningSinceMs: number },
): Promise<number> {
  const rows = await tx.query<{ id: number }>(
    `INSERT INTO alert.alerts (rule_id, device_id, triggered_at, severity, title, message, metadata)
     SELECT r.id, d.id, q.gone + q.allowed, r.severity, left(format('%s: %s is offline', r.name, d.device_code), 500),
            format('%s has not been heard since %s UTC', coalesce(d.name, d.device_code),
                   to_char(q.gone AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')),
            jsonb_build_object('since', q.gone)
       FROM alert.rules r
       JOIN iot.devices d ON d.facility_id = r.facility_id AND (r.device_id IS NULL OR r.device_id = d.id)
                         AND d.removed_at IS NULL AND d.status <> 'maintenance'
       JOIN alert.device_seen n ON n.device_id = d.id,
            LATERAL (SELECT coalesce(n.offline_at, greatest(n.seen_at, $2::timestamptz)) AS gone,
                            CASE WHEN r.duration_minutes = 0 AND n.offline_at IS NULL THEN INTERVAL '5 min'
                                 ELSE r.duration_minutes * INTERVAL '1 min' END AS allowed) q
      WHERE r.is_active AND r.condition_type = 'device_offline' AND q.gone + q.allowed <= $1::timestamptz
        AND NOT EXISTS (SELECT FROM alert.alerts a WHERE a.rule_id = r.id AND a.device_id = d.id
                          AND (a.status IN ('open', 'acknowledged')
                               -- ended by hand: the same silence is no news
                               OR a.metadata @> '{"byHand": true}' AND (a.metadata ->> 'since')::timestamptz = q.gone))
        FOR KEY SHARE OF r
     ON CONFLICT DO NOTHING RETURNING id`,
    [new Date(clockMs), new Date(listeningSinceMs)],
  );
  await tell(tx, ids(rows), "raised");
  return rows.length;
}

/** Ends the `device_offline` alerts of devices that are heard again. */
export async function endOffline(tx: Transaction, deviceIds: readonly number[], atUs: number): Promise<void> {
  const rows = await tx.query<{ id: number }>(
    `UPDATE alert.alerts a SET status = 'resolved', resolved_at = to_timestamp($2 / 1e6::float8),
            resolution_notes = 'the device is heard again'
       FROM alert.rules r
      WHERE r.id = a.rule_id AND r.condition_type = 'device_offline' AND a.device_id = ANY ($1::int[])
        AND a.status IN ('open', 'acknowledged') RETURNING a.id`,
    [deviceIds, atUs],
  );
  await tell(tx, ids(rows), "resolved");
}

/**
 * Takes open alerts that nobody has acknowledged in time to their next step. Steps that are no worse than what the alert
 * is already are passed over, and a preventive alert is never worse than a warning. How many went further.
 */
export async function escalateAlerts(tx: Transaction): Promise<number> {
  const rows = await tx.query<{ id: number }>(
    `UPDATE alert.alerts a SET escalation_level = e.level, severity = e.severity
       FROM (SELECT DISTINCT ON (o.id) o.id, s.level, s.severity
               FROM alert.alerts o
               LEFT JOIN alert.rules r ON r.id = o.rule_id
               JOIN alert.escalations s
                 ON s.rule_id IS NOT DISTINCT FROM
                    (SELECT o.rule_id WHERE EXISTS (SELECT FROM alert.escalations own WHERE own.rule_id = o.rule_id))
              WHERE o.status = 'open' AND s.level > o.escalation_level AND (r.config ? 'calm') IS NOT TRUE
                AND o.created_at + s.after_minutes * INTERVAL '1 min' <= now()
                AND alert.severity_rank(s.severity) > alert.severity_rank(o.severity)
                AND (o.level = 2 OR s.severity = 'warning')
              ORDER BY o.id, s.level DESC) e
      WHERE a.id = e.id AND a.status = 'open' RETURNING a.id`,
  );
  await tell(tx, ids(rows), "escalated");
  return rows.length;
}

const ids = (rows: readonly { id: number }[]) => rows.map(({ id }) => id);

/** Puts into the outbox what the channels are told of, and sends the commands of rules that have one. */
async function tell(
  tx: Transaction,
  alertIds: readonly number[],
  event: "raised" | "escalated" | "resolved",
): Promise<void> {
  if (alertIds.length === 0) return;
  await tx.execute(
    `INSERT INTO alert.notification_log (alert_id, channel_id, event, dedupe_key)
     SELECT a.id, c.id, $2::text, format('alert-%s-%s-%s-%s-%s', a.id, $2::text, a.level, a.escalation_level, c.id)
       FROM alert.alerts a LEFT JOIN alert.rules r ON r.id = a.rule_id
      CROSS JOIN alert.channels c
      WHERE a.id = ANY ($1::int8[]) AND c.is_active
        AND alert.severity_rank(c.min_severity) <= alert.severity_rank(a.severity)
        AND (r.config -> 'channels' IS NULL OR r.config -> 'channels' ? c.name)
     ON CONFLICT (dedupe_key) DO NOTHING`,
    [alertIds, event],
  );
  if (event === "raised") await sendCommands(tx, alertIds);
}

/** One command per alert beyond its limit, however often that is told. */
async function sendCommands(tx: Transaction, alertIds: readonly number[]): Promise<void> {
  await tx.execute(
    `INSERT INTO iot.device_commands (device_id, command_type_id, command_type, command_payload, source, dedupe_key, expires_at)
     SELECT d.id, t.id, t.name, coalesce(r.config -> 'command', '{}'), 'alert', 'alert-' || a.id,
            now() + $2::float8 * INTERVAL '1 ms'
       FROM alert.alerts a JOIN alert.rules r ON r.id = a.rule_id JOIN iot.command_types t ON t.id = r.auto_command_type_id
       JOIN iot.devices d ON d.id = a.device_id AND d.removed_at IS NULL
      WHERE a.id = ANY ($1::int8[]) AND a.level = 2
     ON CONFLICT (dedupe_key) DO NOTHING`,
    [alertIds, COMMAND_LIFE_MS],
  );
}
