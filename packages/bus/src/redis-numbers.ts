import type { Redis } from "ioredis";
import type { GroupLag, GroupLedger, StreamLag } from "./bus.ts";
import { STATE } from "./redis-group-scripts.ts";
import { streamKeys } from "./redis-keys.ts";
import { runScript } from "./redis-script.ts";

/** As the script gives them; what Redis does not know is false, an empty list is an object. */
interface GroupState {
  group: string;
  accepted: number;
  stored: number;
  duplicate: number;
  quarantined: number;
  lost: number;
  parked: number;
  pending: number;
  pendingEntries: number;
  oldest: string | false;
  unread: number;
  unreadEntries: number | false | null;
  lastDeliveredId: string;
  consumers: GroupLag["consumers"] | object;
}

interface StreamState {
  accepted: number;
  entries: number;
  groups: GroupState[] | object;
}

async function readState(
  redis: Redis,
  stream: string,
): Promise<{ state: StreamState; groups: GroupState[] }> {
  const state = JSON.parse((await runScript(redis, STATE, streamKeys(stream), [])) as string) as StreamState;
  return { state, groups: Array.isArray(state.groups) ? state.groups : [] };
}

/** See {@link Bus.ledger}. */
export async function readLedger(redis: Redis, stream: string): Promise<GroupLedger[]> {
  const { groups } = await readState(redis, stream);
  return groups.map(({ group, accepted, stored, duplicate, quarantined, pending, unread, lost, parked }) => ({
    group,
    accepted,
    stored,
    duplicate,
    quarantined,
    pending,
    unread,
    parked,
    lost,
    balanced: accepted === stored + duplicate + quarantined + pending + unread + parked,
  }));
}

/** See {@link Bus.lag}. */
export async function readLag(redis: Redis, stream: string): Promise<StreamLag> {
  const [{ state, groups }, memory, time] = await Promise.all([
    readState(redis, stream),
    redis.call("INFO", "memory").then(String, () => ""),
    redis.call("TIME") as Promise<[string, string]>,
  ]);
  const nowMs = Number(time[0]) * 1_000 + Number(time[1]) / 1_000;
  const bytes = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(memory)?.[1] ?? 0) || null;
  return {
    stream,
    entries: state.entries,
    accepted: state.accepted,
    usedBytes: bytes("used_memory"),
    maxBytes: bytes("maxmemory"),
    groups: groups.map((g) => ({
      group: g.group,
      unread: g.unread,
      unreadEntries: typeof g.unreadEntries === "number" ? g.unreadEntries : null,
      pending: g.pending,
      pendingEntries: g.pendingEntries,
      parked: g.parked,
      oldestPendingMs: g.oldest ? Math.max(0, Math.round(nowMs - Number.parseInt(g.oldest, 10))) : null,
      lastDeliveredId: g.lastDeliveredId,
      consumers: Array.isArray(g.consumers) ? (g.consumers as GroupLag["consumers"]) : [],
    })),
  };
}
