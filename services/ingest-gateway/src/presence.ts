import type { KeyValue, Sighting } from "@sluice/bus";
import { OutageError, type Resource } from "@sluice/shared-types";
import type { Log } from "./log.ts";

/** Keeps what is known of each device's presence in Redis, where every gateway and the api look. */
export interface Presence extends Resource {
  /** A device was heard of now; `status` where it said so itself. */
  heard(device: string, status?: "online" | "offline", heartbeat?: boolean): void;
}

const FLUSH_MS = 1000;
const REFRESH_MS = 10_000;
const PER_CALL = 500;

interface Known {
  toldMs: number;
  status: "online" | "offline";
}

/**
 * One truth per device: what was heard last, by arrival here. A last will carries the time of the connect, so
 * device times cannot decide. Written in batches, at most every 10 s per device unless its status changes;
 * while Redis is out the newest sighting of each device waits.
 */
export function openPresence(keyValue: Pick<KeyValue, "sight">, log: Log): Presence {
  const waiting = new Map<string, Sighting>();
  const known = new Map<string, Known>();
  let failing = false;
  let flushing: Promise<void> | undefined;

  const flush = async () => {
    const batch = [...waiting.values()];
    waiting.clear();
    for (let i = 0; i < batch.length; i += PER_CALL) {
      const part = batch.slice(i, i + PER_CALL);
      try {
        await keyValue.sight(part);
        failing = false;
      } catch (error) {
        if (!(error instanceof OutageError)) throw error;
        if (!failing) log.warn({ err: error }, "presence cannot be written; kept for later");
        failing = true;
        for (const s of batch.slice(i)) if (!waiting.has(s.device)) waiting.set(s.device, s);
        return;
      }
    }
  };
  const timer = setInterval(() => {
    if (waiting.size === 0 || flushing) return;
    flushing = flush().finally(() => {
      flushing = undefined;
    });
  }, FLUSH_MS);

  return {
    heard(device, status, heartbeat = false) {
      const atMs = Date.now();
      const now = status ?? "online";
      const last = known.get(device);
      if (last && last.status === now && !heartbeat && atMs - last.toldMs < REFRESH_MS) return;
      if (!last && known.size >= 500_000) known.clear();
      known.set(device, { toldMs: atMs, status: now });
      waiting.set(device, {
        device,
        atMs,
        status: now,
        heartbeat: heartbeat || (waiting.get(device)?.heartbeat ?? false),
      });
    },
    ping: async () => {
      if (failing) throw new OutageError("redis", "presence cannot be written");
    },
    close: async () => {
      clearInterval(timer);
      await flushing;
      await flush();
    },
  };
}
