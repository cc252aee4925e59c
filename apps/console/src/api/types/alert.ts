// Alerts, their rules, and who is told. As it comes over the wire: times are ISO 8601.

export type Severity = "info" | "warning" | "critical" | "emergency";

export interface Alert {
  id: number;
  ruleId: number | null;
  rule: string | null;
  device: string | null;
  sensor: string | null;
  triggeredAt: string;
  severity: Severity;
  preventive: boolean;
  title: string;
  message: string;
  value: number | null;
  threshold: number | null;
  status: "open" | "acknowledged" | "resolved" | "dismissed";
  escalationLevel: number;
  acknowledgedBy: string | null;
  acknowledgedAt: string | null;
  resolvedAt: string | null;
  notes: string | null;
}

export type Condition = "above" | "below" | "out_of_range" | "rate_of_change" | "device_offline";

/** What somebody says of a rule. */
export interface RuleInput {
  name: string;
  sensorType: string | null;
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
  command: { type: string; payload: Record<string, unknown> } | null;
  channels: string[] | null;
  escalation: { afterMinutes: number; severity: Severity }[] | null;
  active: boolean;
}

export interface AlertRule extends RuleInput {
  id: number;
}

/** What a rule would have raised. */
export interface RulePreview {
  from: string;
  to: string;
  sensors: number | null;
  readings: number | null;
  cut: boolean;
  alerts: {
    device: string;
    sensor: string | null;
    since: string;
    raised: string;
    end: string | null;
    preventive: boolean;
    peak: number | null;
  }[];
}

export interface Channel {
  id: number;
  name: string;
  kind: "email" | "webhook" | "mqtt";
  target: string;
  minSeverity: Severity;
  active: boolean;
}

/** A channel after a change: its secret where it was given one. */
export type ChangedChannel = Channel & { secret?: string };
