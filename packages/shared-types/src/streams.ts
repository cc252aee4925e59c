/** The map of the bus: every stream and every consumer group, in one place. */

/** Streams that carry messages. `can:raw` keeps the name its document gave it. */
export type StreamKind = "telemetry" | "rejected" | "commands" | "outcomes" | "sessions";

/** The stream key of a partition, hash-tagged so that its companions share a Redis Cluster slot. */
export function streamKey(kind: StreamKind, partition = 0): string {
  return `sluice:${kind}:{${partition}}`;
}

/** Raw CAN frames, as the source system named it. */
export const CAN_STREAM = "can:raw";

/** All gateways together, on `sessions`: what everybody has heard may go. */
export const SESSIONS_GROUP = "gateway";

/** Consumer groups by what they do. */
export const GROUPS = {
  postgres: "postgres",
  influx: "influx",
  alerts: "alerts",
  can: "can-worker-group",
} as const;

/** Which partition a device's messages go to: all of a device in one, so that they stay in order. */
export function partitionOf(deviceId: string, partitions: number): number {
  if (partitions === 1) return 0;
  let hash = 0x811c9dc5; // FNV-1a
  for (let i = 0; i < deviceId.length; i++) hash = Math.imul(hash ^ deviceId.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % partitions;
}
