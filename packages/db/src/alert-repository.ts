import { NotFoundError } from "@sluice/shared-types";
import type { Severity } from "./alert-rule-repository.ts";
import type { Queries } from "./open-db.ts";

/** Where an alert stands. */
export type AlertStatus = "open" | "acknowledged" | "resolved" | "dismissed";

/** An alert. */
export interface Alert {
  id: number;
  ruleId: number | null;
  rule: string | null;
  device: string | null;
  /** The sensor's own name; null for `device_offline`. */
  sensor: string | null;
  sensorId: number | null;
  /** In the time of the readings. */
  triggeredAt: Date;
  severity: Severity;
  /** Raised within the warning margin, before the limit was passed. */
  preventive: boolean;
  title: string;
  message: string;
  value: number | null;
  threshold: number | null;
  status: AlertStatus;
  escalationLevel: number;
  acknowledgedBy: string | null;
  acknowledgedAt: Date | null;
  resolvedAt: Date | null;
  notes: string | null;
}

const ALERTS = `SELECT a.id, a.rule_id AS "ruleId", r.name AS rule, d.device_code AS device, s.sensor_code AS sensor,
    a.sensor_id AS "sensorId", a.triggered_at AS "triggeredAt", a.severity, a.level = 1 AS preventive, a.title, a.message,
    a.current_value AS value, a.threshold_violated AS threshold, a.status, a.escalation_level AS "escalationLevel",
    a.metadata ->> 'acknowledgedBy' AS "acknowledgedBy", a.acknowledged_at AS "acknowledgedAt",
    a.resolved_at AS "resolvedAt", a.resolution_notes AS notes
  FROM alert.alerts a LEFT JOIN alert.rules r ON r.id = a.rule_id LEFT JOIN iot.devices d ON d.id = a.device_id
  LEFT JOIN iot.sensors s ON s.id = a.sensor_id`;

/** Which alerts; everything given must hold. */
export interface AlertFilter {
  status?: readonly AlertStatus[] | undefined;
  severity?: Severity | undefined;
  device?: string | undefined;
  /** Nothing but these devices; null: all. */
  only?: readonly string[] | null | undefined;
  ruleId?: number | undefined;
  beforeId?: number | undefined;
}

/** Alerts, the newest first. */
export function listAlerts(db: Queries, filter: AlertFilter, limit: number): Promise<Alert[]> {
  return db.query<Alert>(
    `${ALERTS}
      WHERE ($1::text[] IS NULL OR a.status = ANY ($1)) AND ($2::text IS NULL OR a.severity = $2)
        AND ($3::text IS NULL OR d.device_code = $3) AND ($4::int IS NULL OR a.rule_id = $4)
        AND ($5::int8 IS NULL OR a.id < $5) AND ($6::text[] IS NULL OR d.device_code = ANY ($6))
      ORDER BY a.id DESC LIMIT $7`,
    [
      filter.status ?? null,
      filter.severity ?? null,
      filter.device ?? null,
      filter.ruleId ?? null,
      filter.beforeId ?? null,
      filter.only ?? null,
      limit,
    ],
  );
}

/** One alert. @throws NotFoundError */
export async function getAlert(db: Queries, id: number): Promise<Alert> {
  const [alert] = await db.query<Alert>(`${ALERTS} WHERE a.id = $1`, [id]);
  if (!alert) throw new NotFoundError(`no alert ${id}`);
  return alert;
}

/** Who acknowledges: as people know it, and the person of the system where it is one. */
export interface Acknowledger {
  name: string;
  userId?: number | undefined;
}

/** Notes that somebody cares for an open alert: it escalates no further. False where it was not open. */
export async function acknowledgeAlert(db: Queries, id: number, by: Acknowledger): Promise<boolean> {
  const changed = await db.execute(
    `UPDATE alert.alerts SET status = 'acknowledged', acknowledged_at = now(),
            acknowledged_by = $2, metadata = metadata || jsonb_build_object('acknowledgedBy', $3::text)
      WHERE id = $1 AND status = 'open'`,
    [id, by.userId ?? null, by.name],
  );
  if (changed === 0) await getAlert(db, id);
  return changed > 0;
}

/**
 * Ends an alert by hand. Its rule raises no other for the same until the condition has been over once. False where it
 * had ended already.
 */
export async function endAlert(
  db: Queries,
  id: number,
  status: "resolved" | "dismissed",
  notes: string | null,
): Promise<boolean> {
  const changed = await db.execute(
    `UPDATE alert.alerts SET status = $2, resolved_at = now(), resolution_notes = $3,
            metadata = metadata || '{"byHand": true}'
      WHERE id = $1 AND status IN ('open', 'acknowledged')`,
    [id, status, notes],
  );
  if (changed === 0) await getAlert(db, id);
  return changed > 0;
}
