import type { Device } from "../../api/types/device.ts";
import { Tag, type Tone } from "../../parts/notice.tsx";

const TONES: Record<Device["status"], Tone> = {
  online: "ok",
  offline: "plain",
  maintenance: "warn",
  error: "bad",
};

/** Whether a device is there, or why it may not be. */
export function Presence({ device }: { device: Device }) {
  if (device.access === "disabled") return <Tag tone="bad">disabled</Tag>;
  return <Tag tone={TONES[device.status]}>{device.status}</Tag>;
}

const WELL_MS = 5000;

/** Whether a clock is so far off that somebody should look. */
export const isSkewed = ({ clockSkewMs }: Device): boolean => Math.abs(clockSkewMs ?? 0) > WELL_MS;
