import type { DeviceTags } from "./data-model.ts";

/**
 * Which of a device's tags a message's points carry. Tags are part of a point's identity in InfluxDB: a message that
 * is delivered again after the registry has said something else of its device would be a second point. So new tags
 * hold for times after those that were written under the old ones; a message from before keeps the old ones, for as
 * long as brokers deliver again. What a restart forgets, reconciliation mends.
 */
export interface TagHistory {
  /** The tags for a message of `timeUs`, where the registry gives `present` now. */
  tagsAt(device: string, timeUs: number, present: DeviceTags): DeviceTags;
}

interface Reign {
  tags: DeviceTags;
  /** Latest time written under them. */
  untilUs: number;
  endedMs: number;
}

interface Device {
  tags: DeviceTags;
  latestUs: number;
  /** Oldest first. */
  earlier: Reign[];
}

const KEPT_MS = 15 * 60_000;
const MOST_CHANGES = 8;
const MAX_DEVICES = 100_000;

/** Creates a history of bounded size; `nowMs` is the time of the process. */
export function createTagHistory(nowMs: () => number = () => performance.now()): TagHistory {
  const devices = new Map<string, Device>();
  return {
    tagsAt(device, timeUs, present) {
      let known = devices.get(device);
      if (!known) {
        if (devices.size >= MAX_DEVICES) devices.delete(devices.keys().next().value ?? "");
        known = { tags: present, latestUs: timeUs, earlier: [] };
        devices.set(device, known);
      }
      if (!isSame(known.tags, present)) {
        known.earlier.push({ tags: known.tags, untilUs: known.latestUs, endedMs: nowMs() });
        if (known.earlier.length > MOST_CHANGES) known.earlier.shift();
        known.tags = present;
      }
      if (known.earlier.length > 0) {
        const sinceMs = nowMs() - KEPT_MS;
        known.earlier = known.earlier.filter(({ endedMs }) => endedMs >= sinceMs);
        const before = known.earlier.find(({ untilUs }) => timeUs <= untilUs);
        if (before) return before.tags;
      }
      known.latestUs = Math.max(known.latestUs, timeUs);
      return known.tags;
    },
  };
}

const isSame = (a: DeviceTags, b: DeviceTags) =>
  a === b ||
  (a.device_type === b.device_type && a.device_name === b.device_name && a.location === b.location);
