// Single messages: where they are, and why they were refused. As it comes over the wire: times are ISO 8601.

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

/** What a replay did, or would do. */
export interface Replay {
  replayed: number[];
  skipped: { id: number; reason: string; why: string }[];
  dryRun: boolean;
}
