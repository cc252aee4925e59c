import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { OutageError, type Resource } from "@sluice/shared-types";

/** A name that one holder at a time has, kept where all gateways look. */
export interface Lease {
  /**
   * Takes `name` for `ttlMs`, or prolongs it, where it is free or already `holder`'s. Resolves with whoever
   * holds it afterwards. Rejects with OutageError when that cannot be known.
   */
  claim(name: string, holder: string, ttlMs: number): Promise<string>;
  /** Frees it if it is `holder`'s. */
  release(name: string, holder: string): Promise<void>;
}

/** What to hold and what to do about it. */
export interface HoldOptions {
  name: string;
  /** As {@link createInstance} makes it. */
  instance: string;
  onHeld(): void;
  onLost(): Promise<void>;
  log: Record<"info" | "warn" | "error", (obj: object, msg: string) => void>;
  ttlMs?: number;
}

/**
 * Claims a lease again and again. While another holds it this one stands by, and `ping` names the other. When
 * the store of the lease cannot be asked, things stay as they are: the same outage stops ingest anyway.
 */
export function holdLease(lease: Lease, options: HoldOptions): Resource {
  const { name, instance, log } = options;
  const ttlMs = options.ttlMs ?? 10_000;
  let holder: string | undefined;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  const claim = async () => {
    const before = holder;
    try {
      holder = await lease.claim(name, instance, ttlMs);
      if (isGone(holder, instance)) {
        await lease.release(name, holder);
        holder = await lease.claim(name, instance, ttlMs);
      }
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
    }
    if (closed || holder === undefined || holder === before) return;
    if (holder === instance) {
      log.info({ lease: name, instance }, "this gateway follows the broker");
      options.onHeld();
      return;
    }
    log.error(
      { lease: name, instance, holder },
      `gateway ${holder} uses the same client id; standing by: give each its own SLUICE_MQTT_CLIENT_ID`,
    );
    if (before === instance) await options.onLost();
  };
  const loop = async () => {
    await claim();
    if (!closed) {
      timer = setTimeout(() => {
        running = loop();
      }, ttlMs / 3);
    }
  };
  let running = loop();

  return {
    ping: async () => {
      if (holder === undefined) throw new OutageError("mqtt", `lease ${name} is not decided yet`);
      if (holder !== instance) {
        throw new OutageError("mqtt", `standing by: gateway ${holder} uses the same client id`);
      }
    },
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await running;
      if (holder === instance) await lease.release(name, instance).catch(() => {}); // it runs out by itself
    },
  };
}

/** Names this process so that another on the same machine can tell whether it still runs. */
export const createInstance = (): string => `${hostname()}/${process.pid}/${randomBytes(4).toString("hex")}`;

/** Whether `holder` was a process of this machine that has ended: its lease need not be waited for. */
function isGone(holder: string, instance: string): boolean {
  const [host, pid] = holder.split("/");
  if (holder === instance || host !== hostname() || !/^\d+$/.test(pid ?? "")) return false;
  if (pid === instance.split("/")[1]) return true;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
