/** Answers of the api, as they come over the wire: times are ISO 8601. */

export type Scope = "read" | "write" | "admin";
export type UpState = "up" | "stopped";

export interface Session {
  kind: "person" | "key" | "device";
  email?: string;
  csrf?: string;
  scopes: Scope[];
}

export interface Consumer {
  name: string;
  pending: number;
  idleMs: number;
}

export interface GroupLag {
  group: string;
  unread: number;
  pending: number;
  pendingEntries: number;
  parked: number;
  oldestPendingMs: number | null;
  consumers: Consumer[];
}

export interface StreamLag {
  stream: string;
  entries: number;
  accepted: number;
  groups: GroupLag[];
}

export interface GroupFlow extends GroupLag {
  service: string;
  state: UpState;
  stored: number;
  duplicate: number;
  quarantined: number;
  lost: number;
  balanced: boolean;
}

export interface Flow {
  at: string;
  gateway: { state: UpState };
  bus: {
    state: UpState;
    accepted: number;
    entries: number;
    usedBytes: number | null;
    maxBytes: number | null;
  };
  groups: GroupFlow[];
  stores: { postgres: UpState; influx: UpState | "absent" };
  scheduler: {
    state: UpState;
    lastRun: { job: string; status: string; at: string; error: string | null } | null;
    rolledUpTo: string | null;
    dirty: number;
  } | null;
  refused: {
    waiting: number;
    last: { id: number; reason: string; detail: string; device: string | null; at: string } | null;
  } | null;
  devices: Record<string, number> | null;
}

export interface Device {
  id: string;
  type: string;
  name: string | null;
  location: string | null;
  access: "active" | "disabled" | "none";
  username: string | null;
  status: "online" | "offline" | "maintenance" | "error";
  lastHeartbeat: string | null;
  lastDataReceived: string | null;
  clock: string | null;
  clockSkewMs: number | null;
  sensors: number;
  createdAt: string;
}

/** A device of a list, with how it does. */
export interface DeviceOverview extends Device {
  gaps: number;
  missing: number;
  readingsPerMinute: number;
}

export interface Reading {
  field: string;
  unit: string | null;
  valueType: "number" | "text" | null;
  status: string;
  value: number | string | null;
  time: string | null;
}

export interface DeviceDetail extends Device {
  readings: Reading[];
  gaps: { boot: string; from: number; to: number; missing: number }[];
}

export interface Credentials {
  id?: string;
  username: string;
  password: string;
  apiKey: string;
}

export interface Sensor {
  id: number;
  device: string;
  field: string;
  type: string | null;
  valueType: "number" | "text" | null;
  unit: string | null;
  calibrationOffset: number;
  status: string;
  sampleIntervalSeconds: number | null;
  notes: string | null;
}

export interface SeriesPoint {
  time: string;
  value: number | string | null;
  min?: number;
  max?: number;
  n?: number;
  status?: string;
  flags?: string[];
}

export interface Series {
  sensor: { id: number; device: string; field: string; unit: string | null };
  from: string;
  to: string;
  resolution: "raw" | "5m" | "1h" | "1d";
  points: SeriesPoint[];
  gaps: { from: string; to: string }[];
  count: number;
}

export interface LiveReading {
  device: string;
  type: string;
  samples: { time: string; readings: Record<string, number | string | boolean | null> }[];
}

export interface Trace {
  device?: string;
  verdict: string;
  state: "stored" | "refused" | "waiting" | "settled" | "missing" | "unknown";
  messages: {
    id: string;
    source: string;
    topic?: string;
    type: string;
    boot?: string;
    seq?: number;
    receivedAt: string;
    acceptedAt: string;
    groups: Record<string, string>;
  }[];
  readings: { field: string; timeUs: number; value: number | string | null; status?: string }[];
  refusals: { id: number; reason: string; detail: string }[];
}

export interface Installation {
  mqttPort: number;
  topicRoot: string;
  partitions: number;
  sinks: string[];
  influxBucket: string | null;
}

export interface Refusal {
  id: number;
  reason: string;
  detail: string;
  source: string;
  device: string | null;
  topic: string | null;
  type: string | null;
  boot: string | null;
  seq: number | null;
  status: "open" | "fixed" | "replayed" | "discarded";
  truncated: boolean;
  receivedAt: string;
  bytes: number;
  payload?: string;
}

export interface JobRun {
  id: string;
  job: string;
  status: string;
  trigger: string;
  createdAt: string;
  startedAt: string | null;
  completedAt: string | null;
  seconds: number | null;
  from: string | null;
  to: string | null;
  summary: unknown;
  error: string | null;
}

export interface RowChange {
  table: string;
  key: Record<string, unknown>;
  old: Record<string, unknown> | null;
  new: Record<string, unknown> | null;
}

export interface AuditEvent {
  id: number;
  event: string;
  severity: string;
  entityType: string | null;
  entityId: string | null;
  email: string | null;
  message: string | null;
  data: unknown;
  address: string | null;
  at: string;
}

export interface User {
  id: number;
  email: string;
  fullName: string | null;
  role: "viewer" | "operator" | "admin";
  status: "active" | "disabled";
  lastLogin: string | null;
}

export interface ApiKey {
  id: number;
  name: string;
  prefix: string;
  scopes: Scope[];
  devices: string[] | null;
  createdAt: string;
  expiresAt: string | null;
  revokedAt: string | null;
  lastUsedAt: string | null;
}

export interface PendingEntry {
  id: string;
  consumer: string;
  messages: number;
  ageMs: number;
  idleMs: number;
  attempts: number;
}

/** What a replay did, or would do. */
export interface Replay {
  replayed: number[];
  skipped: { id: number; reason: string; why: string }[];
  dryRun: boolean;
}

export interface JobState {
  name: string;
  type: string;
  schedule: { everyMs: number } | { cron: string; zone: string } | undefined;
  watermark: string | null;
  holes: { from: string; to: string; error: string }[];
  lastRun: JobRun | null;
}

export interface JobSchedule {
  enabled: boolean;
  running: boolean;
  rollups: { rolledUpTo: string | null; dirty: number };
  jobs: JobState[];
}

/** What a backfill would change, and the token that stands for exactly that. */
export interface BackfillPlan {
  token: string;
  count: number;
  changes: RowChange[];
  ranges: { job: string; from: string | null; to: string | null }[];
}

export interface RetentionPolicy {
  table: string;
  sensorType: string;
  days: number;
  active: boolean;
  lastPurge: string | null;
  rowsPurged: number;
}

export interface Command {
  id: number;
  device: string;
  type: string;
  payload: Record<string, unknown>;
  status: "pending" | "sent" | "delivered" | "executed" | "failed" | "timeout";
  issuedAt: string;
  result: unknown;
  error: string | null;
}

export interface DeviceConfig {
  version: number;
  config: Record<string, unknown>;
  /** The version that the device says it runs. */
  reportedVersion: number | null;
  reportedAt: string | null;
}

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

export interface FleetGroup {
  name: string;
  description: string | null;
  devices: string[];
}

export interface Calibration {
  id: number;
  at: string;
  nextDue: string | null;
  offsetBefore: number | null;
  offsetAfter: number | null;
  notes: string | null;
}

/** From where on readings of a type of sensor are doubtful. */
export interface QualityLimits {
  sensorType: string;
  min: number | null;
  max: number | null;
  spike: number | null;
  ratePerMinute: number | null;
  flatCount: number | null;
  flatMinutes: number;
  gapSeconds: number | null;
}
