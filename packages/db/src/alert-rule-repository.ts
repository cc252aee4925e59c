import { NotFoundError } from "@sluice/shared-types";
import type { Db, Queries } from "./open-db.ts";

/** How bad an alert is, the least first. */
export const SEVERITIES = ["info", "warning", "critical", "emergency"] as const;
/** One of {@link SEVERITIES}. */
export type Severity = (typeof SEVERITIES)[number];

/** What a rule watches for. */
export const CONDITIONS = ["above", "below", "out_of_range", "rate_of_change", "device_offline"] as const;
/** One of {@link CONDITIONS}. */
export type Condition = (typeof CONDITIONS)[number];

/** A step that an alert nobody acknowledges goes through. */
export interface EscalationStep {
  afterMinutes: number;
  severity: Severity;
}

/** What somebody says of a rule. Limits are in the sensor's unit; for `rate_of_change` in units a minute. */
export interface RuleInput {
  name: string;
  /** Name of a sensor type, or a sensor's own name; null for `device_offline`. */
  sensorType: string | null;
  /** Only this device; null: every device of the facility. */
  device: string | null;
  condition: Condition;
  threshold: number | null;
  min: number | null;
  max: number | null;
  warningMargin: number;
  hysteresis: number;
  durationMinutes: number;
  rateWindowMinutes: number;
  severity: Severity;
  /** Sent to the device when the alert is raised; null: none. */
  command: { type: string; payload: Record<string, unknown> } | null;
  /** Names of the channels that are told; null: all. */
  channels: string[] | null;
  /** null: the general steps; none: its alerts do not escalate. */
  escalation: EscalationStep[] | null;
  active: boolean;
}

/** A rule as it is kept. */
export interface AlertRule extends RuleInput {
  id: number;
  facilityId: number;
  deviceId: number | null;
  durationUs: number;
  rateWindowUs: number;
  /** Counts changes. */
  version: number;
  createdAt: Date;
  updatedAt: Date;
}

const RULES = `SELECT r.id, r.facility_id AS "facilityId", r.name, r.sensor_type AS "sensorType", r.device_id AS "deviceId",
    d.device_code AS device, r.condition_type AS condition, r.threshold::float8 AS threshold,
    r.threshold_min::float8 AS min, r.threshold_max::float8 AS max, r.warning_margin::float8 AS "warningMargin",
    r.hysteresis::float8 AS hysteresis, r.duration_minutes AS "durationMinutes",
    r.rate_window_minutes AS "rateWindowMinutes", r.duration_minutes * 6e7 AS "durationUs",
    r.rate_window_minutes * 6e7 AS "rateWindowUs", r.severity, r.config -> 'channels' AS channels,
    CASE WHEN t.id IS NOT NULL
      THEN jsonb_build_object('type', t.name, 'payload', coalesce(r.config -> 'command', '{}')) END AS command,
    CASE WHEN r.config ? 'calm' THEN '[]' ELSE
      (SELECT jsonb_agg(jsonb_build_object('afterMinutes', e.after_minutes, 'severity', e.severity) ORDER BY e.level)
         FROM alert.escalations e WHERE e.rule_id = r.id) END AS escalation,
    r.is_active AS active, r.version, r.created_at AS "createdAt", r.updated_at AS "updatedAt"
  FROM alert.rules r LEFT JOIN iot.devices d ON d.id = r.device_id
  LEFT JOIN iot.command_types t ON t.id = r.auto_command_type_id`;

/** Every rule, the oldest first. */
export function listAlertRules(db: Queries): Promise<AlertRule[]> {
  return db.query<AlertRule>(`${RULES} ORDER BY r.id`);
}

/** One rule. @throws NotFoundError */
export async function getAlertRule(db: Queries, id: number): Promise<AlertRule> {
  const [rule] = await db.query<AlertRule>(`${RULES} WHERE r.id = $1`, [id]);
  if (!rule) throw new NotFoundError(`no rule ${id}`);
  return rule;
}

/**
 * Makes a rule, or changes the one with `id`: alerts that are active under it end with that.
 * @throws NotFoundError where there is no such rule or device, InvalidInputError where the limits make no sense
 */
export async function putAlertRule(db: Db, input: RuleInput, id?: number): Promise<AlertRule> {
  return db.transaction(async (tx) => {
    const deviceId = input.device === null ? null : await deviceIdOf(tx, input.device);
    const commandId = input.command === null ? null : await ensureCommandType(tx, input.command.type);
    const config = {
      ...(input.channels === null ? {} : { channels: input.channels }),
      ...(input.command === null ? {} : { command: input.command.payload }),
      ...(input.escalation?.length === 0 ? { calm: true } : {}),
    };
    const values = [
      input.name,
      input.sensorType,
      deviceId,
      input.condition,
      input.threshold,
      input.min,
      input.max,
      input.warningMargin,
      input.hysteresis,
      input.durationMinutes,
      input.rateWindowMinutes,
      input.severity,
      commandId,
      JSON.stringify(config),
      input.active,
    ];
    const columns = `name, sensor_type, device_id, condition_type, threshold, threshold_min, threshold_max, warning_margin,
      hysteresis, duration_minutes, rate_window_minutes, severity, auto_command_type_id, config, is_active`;
    const places = values.map((_, i) => `$${i + 1}`).join(", ");
    const [row] = await tx.query<{ id: number }>(
      id === undefined
        ? `INSERT INTO alert.rules (${columns}) VALUES (${places}) RETURNING id`
        : `UPDATE alert.rules SET (${columns}) = (${places}) WHERE id = $${values.length + 1} RETURNING id`,
      id === undefined ? values : [...values, id],
    );
    if (!row) throw new NotFoundError(`no rule ${id}`);
    await tx.execute("DELETE FROM alert.escalations WHERE rule_id = $1", [row.id]);
    await tx.execute(
      `INSERT INTO alert.escalations (rule_id, level, after_minutes, severity)
       SELECT $1, e.ordinality, (e.value ->> 'afterMinutes')::float8, e.value ->> 'severity'
         FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY e`,
      [row.id, JSON.stringify(input.escalation ?? [])],
    );
    return getAlertRule(tx, row.id);
  });
}

/** Deletes a rule. Its alerts stay, those that are active end. @throws NotFoundError */
export async function deleteAlertRule(db: Queries, id: number): Promise<void> {
  const deleted = await db.execute("DELETE FROM alert.rules WHERE id = $1", [id]);
  if (deleted === 0) throw new NotFoundError(`no rule ${id}`);
}

/** Steps of one rule; those without a rule are for all that have none of their own. */
export interface Escalation extends EscalationStep {
  ruleId: number | null;
  level: number;
}

/** Every step, the general ones first. */
export function listEscalations(db: Queries): Promise<Escalation[]> {
  return db.query<Escalation>(
    `SELECT rule_id AS "ruleId", level, after_minutes AS "afterMinutes", severity
       FROM alert.escalations ORDER BY rule_id NULLS FIRST, level`,
  );
}

async function deviceIdOf(tx: Queries, device: string): Promise<number> {
  const [row] = await tx.query<{ id: number }>(
    "SELECT id FROM iot.devices WHERE device_code = $1 AND removed_at IS NULL",
    [device],
  );
  if (!row) throw new NotFoundError(`no device '${device}'`);
  return row.id;
}

async function ensureCommandType(tx: Queries, name: string): Promise<number | null> {
  await tx.execute("INSERT INTO iot.command_types (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", [name]);
  const [row] = await tx.query<{ id: number }>("SELECT id FROM iot.command_types WHERE name = $1", [name]);
  return row?.id ?? null;
}
