// Jobs, backfills, and what is kept how long. As it comes over the wire: times are ISO 8601.

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
