import type { Device } from "@sluice/db";
import type { FastifyRequest } from "fastify";
import { parseInstant } from "../../influx-data.ts";
import { principalOf } from "../../principal.ts";
import { Refusal } from "../../refusal.ts";
import { iso } from "../../schemas.ts";

/** Document B: whoever was heard of within five minutes is online. */
const ONLINE_MS = 300_000;

/** The one device a key speaks for. */
export function ownDevice(request: FastifyRequest): string {
  const { devices } = principalOf(request);
  const [only] = devices ?? [];
  if (only === undefined || devices?.length !== 1) {
    throw new Refusal(400, "this key does not stand for exactly one device", { code: "bad_device_id" });
  }
  return only;
}

/** A device as document B's lists show it. */
export function overviewOf(device: Device) {
  const { id, name, type, status, access, lastHeartbeat, lastDataReceived } = device;
  const seen = newest(lastHeartbeat, lastDataReceived);
  const isOnline = seen !== null && Date.now() - seen.getTime() < ONLINE_MS && status !== "offline";
  const state = status === "maintenance" ? "maintenance" : access === "active" ? "active" : "inactive";
  return { id, name: name ?? id, device_type: type, status: state, is_online: isOnline, last_seen: seen };
}

const newest = (a: Date | null, b: Date | null) => (a !== null && b !== null ? (a > b ? a : b) : (a ?? b));

/** A reading as document B's answers show it. */
export const readingOf = ({
  timeUs,
  field,
  value,
  status,
}: {
  timeUs: number;
  field: string;
  value: unknown;
  status: string;
}) => ({ time: iso(timeUs), field, value, status });

/** A range as document B writes it: `-1h`, or times. @throws Refusal 400 */
export function rangeBetween(start: string, stop: string): { fromUs: number; toUs: number } {
  const nowUs = Date.now() * 1000;
  const [fromUs, toUs] = [parseInstant(start, nowUs), parseInstant(stop, nowUs)];
  if (fromUs === undefined || toUs === undefined || fromUs >= toUs) {
    throw new Refusal(400, "start_time: is -1h, -7d, or a time before the end", { code: "invalid" });
  }
  return { fromUs, toUs };
}
