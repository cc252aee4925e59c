// Devices, what they measure, and what they are told. As it comes over the wire: times are ISO 8601.

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
