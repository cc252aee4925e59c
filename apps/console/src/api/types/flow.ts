// The path of messages, stage by stage. As it comes over the wire: times are ISO 8601.

export type UpState = "up" | "stopped";

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

export interface Installation {
  mqttPort: number;
  topicRoot: string;
  partitions: number;
  sinks: string[];
  influxBucket: string | null;
}

export interface PendingEntry {
  id: string;
  consumer: string;
  messages: number;
  ageMs: number;
  idleMs: number;
  attempts: number;
}
