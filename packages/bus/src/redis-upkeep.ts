import type { Redis } from "ioredis";
import type { Entry, LostRange, ReaderOptions } from "./bus.ts";
import type { Inbox } from "./inbox.ts";
import type { Log } from "./log.ts";
import { failureOf } from "./redis-connection.ts";
import { ENSURE, HOLD, SWEEP } from "./redis-group-scripts.ts";
import { streamKeys } from "./redis-keys.ts";
import { FIND_LOSSES, TRIM } from "./redis-loss-scripts.ts";
import { runScript, type Script } from "./redis-script.ts";
import type { TrimPolicy } from "./trim-policy.ts";

/** Default of {@link ReaderOptions.reclaimAfterMs}. */
const RECLAIM_AFTER_MS = 10_000;
const CLAIM_ENTRIES = 32;
/** Idle time that a consumer gives its entries when it leaves. */
export const GIVEN_BACK_MS = 86_400_000;
const LONGEST_TICK_MS = 500;
const SHOWN_EVERY_MS = 3_000;
/** Nothing comes after it. */
const LAST_ID = "18446744073709551615-18446744073709551614";
const LOSSES_EVERY_MS = 1_000;

/** An entry as Redis gives it; its fields are null where it was deleted. */
export type RawEntry = [id: string, fields: string[] | null];

/** Decodes an entry. One that others appended becomes one message: its fields as a JSON object, ordinal 0. */
export function toEntry([id, fields]: RawEntry, attempts: number): Entry {
  const list = fields ?? [];
  if (list[0] === "o" && list[2] === "n") {
    const messages: string[] = [];
    for (let i = 5; i < list.length; i += 2) messages.push(list[i] ?? "");
    return { id, ordinal: Number(list[1]), attempts, messages };
  }
  const map: Record<string, string> = {};
  for (let i = 0; i + 1 < list.length; i += 2) map[list[i] ?? ""] = list[i + 1] ?? "";
  return { id, ordinal: 0, attempts, messages: [JSON.stringify(map)] };
}

interface Pending {
  id: string;
  consumer: string;
  idleMs: number;
  deliveries: number;
}

/** What a reader does besides reading: keeps what it holds, takes over what others abandoned, notices losses, trims. */
export interface Upkeep {
  /** Takes up what this consumer left pending in an earlier life, then ticks. */
  start(): Promise<void>;
  /** Takes up what is pending for this consumer and not here: its delivery was lost with a connection. */
  resume(): Promise<void>;
  stop(): void;
  /** Newly delivered entries, in the order of the stream. */
  seen(entries: readonly Entry[]): void;
  /** Delivers again what was released. */
  redeliver(): Promise<void>;
  /** The group is gone: creates it again at the first entry. */
  regroup(): Promise<void>;
  losses(): LostRange[];
  /** An error of a tick that nobody has seen yet. */
  takeFailure(): unknown;
}

/** See {@link Upkeep}. */
export function createUpkeep(
  { redis, inbox, trim, log }: { redis: Redis; inbox: Inbox; trim: TrimPolicy; log: Log },
  options: ReaderOptions,
): Upkeep {
  const { stream, group, consumer } = options;
  const reclaimAfterMs = options.reclaimAfterMs ?? RECLAIM_AFTER_MS;
  const who = { stream, group, consumer };
  const keys = streamKeys(stream);
  let timer: NodeJS.Timeout | undefined;
  let ticking = false;
  let failure: unknown;
  /** Last ordinal seen. */
  let last: number | undefined;
  let found: LostRange[] = [];
  let suspects = new Map<string, { sinceMs: number; idleMs: number }>();
  /** Entries that were taken away from here, and until when they are left to others. */
  const leftToOthers = new Map<string, number>();
  let heldAt = 0;
  let shownAt = Number.NEGATIVE_INFINITY;
  let lossesAt = 0;
  let trimAt = 0;

  const run = (script: Script, ...args: (string | number)[]) =>
    runScript(redis, script, keys, [group, ...args]);

  function seen(entries: readonly Entry[]): void {
    for (const { ordinal, messages } of entries) {
      if (ordinal === 0) continue;
      if (last !== undefined && ordinal > last + 1) lossesAt = 0;
      else if (last !== undefined && ordinal <= last)
        log.error({ ...who, ordinal, expected: last + 1 }, "the stream was reset: its ordinals start again");
      last = ordinal + messages.length - 1;
    }
  }

  async function pending(...args: (string | number)[]): Promise<Pending[]> {
    const rows = (await redis.call("XPENDING", stream, group, ...args)) as [string, string, number, number][];
    return rows.map(([id, name, idleMs, deliveries]) => ({ id, consumer: name, idleMs, deliveries }));
  }

  /** Claims with delivery counts; what comes back empty is gone from the stream. */
  async function claim(wanted: readonly Pending[], minIdleMs: number): Promise<void> {
    const ids = wanted.map(({ id }) => id);
    if (ids.length === 0) return;
    const attempts = new Map(wanted.map(({ id, deliveries }) => [id, deliveries + 1]));
    const raw = (await redis.call(
      "XCLAIM",
      stream,
      group,
      consumer,
      minIdleMs,
      ...ids,
    )) as (RawEntry | null)[];
    const got = raw.filter((entry): entry is RawEntry => entry !== null && entry[1] !== null);
    inbox.push(got.map((entry) => toEntry(entry, attempts.get(entry[0]) ?? 1)));
    const here = new Set(got.map(([id]) => id));
    for (const id of ids) if (!here.has(id)) await lookForDeleted(id);
  }

  async function lookForDeleted(id: string): Promise<void> {
    const there = (await redis.call("XRANGE", stream, id, id, "COUNT", 1)) as unknown[];
    if (there.length > 0) return;
    await redis.call("XACK", stream, group, id);
    lossesAt = 0;
  }

  async function resume(): Promise<void> {
    for (let from = "-"; ; ) {
      const rows = await pending(from, "+", CLAIM_ENTRIES, consumer);
      await claim(
        rows.filter(({ id }) => !inbox.has(id)),
        0,
      );
      const end = rows.at(-1);
      if (!end || rows.length < CLAIM_ENTRIES) return;
      from = `(${end.id}`;
    }
  }

  async function redeliver(): Promise<void> {
    const entries = inbox.takeReleased();
    if (entries.length === 0) return;
    const rows = entries.map(({ id, attempts }) => ({ id, consumer, idleMs: 0, deliveries: attempts }));
    await claim(rows, 0);
  }

  async function hold(): Promise<void> {
    const ids = inbox.ids();
    if (ids.length === 0) return;
    const gone = (await run(HOLD, consumer, ...ids)) as string[];
    // An acknowledgement that was answered together with this must be noted first.
    await new Promise((resume) => setImmediate(resume));
    const lost = gone.filter((id) => inbox.has(id));
    if (lost.length === 0) return;
    inbox.drop(lost);
    for (const id of lost) leftToOthers.set(id, performance.now() + reclaimAfterMs);
    log.warn({ ...who, entries: lost.length }, "entries in hand are not this consumer's any more");
  }

  /**
   * An entry is abandoned when it is idle for too long and stays so for another while in which its holder, if
   * it lives, refreshes it: after a stall of the server everything looks idle at first.
   */
  async function reclaim(nowMs: number): Promise<void> {
    if (inbox.waiting() > 0) return;
    const rows = await pending("IDLE", reclaimAfterMs, "-", "+", CLAIM_ENTRIES);
    for (const [id, untilMs] of leftToOthers) if (untilMs <= nowMs) leftToOthers.delete(id);
    const others = rows.filter(({ id }) => !inbox.has(id) && !leftToOthers.has(id));
    const known = suspects;
    suspects = new Map();
    const wanted: Pending[] = [];
    for (const entry of others) {
      const before = known.get(entry.id);
      const since = before && entry.idleMs > before.idleMs ? before.sinceMs : nowMs;
      suspects.set(entry.id, { sinceMs: since, idleMs: entry.idleMs });
      if (entry.idleMs >= GIVEN_BACK_MS || nowMs - since >= reclaimAfterMs / 3) wanted.push(entry);
    }
    if (wanted.length === 0) return;
    await claim(wanted, reclaimAfterMs);
    const from = [...new Set(wanted.map((entry) => entry.consumer))];
    log.info({ ...who, entries: wanted.length, from }, "took over entries");
  }

  async function lookForLosses(): Promise<void> {
    const [taken, ...ranges] = (await run(FIND_LOSSES, consumer)) as string[];
    if (Number(taken) > 0) {
      log.warn(
        { ...who, messages: Number(taken) },
        "messages were taken away with the consumer that had them: they are delivered again",
      );
      await resume();
    }
    for (let i = 0; i < ranges.length; i += 2) {
      const range = { stream, group, from: Number(ranges[i]), to: Number(ranges[i + 1]) };
      found.push(range);
      log.error(range, "messages that were accepted are gone before this group had them");
    }
  }

  async function regroup(): Promise<void> {
    const made = await run(ENSURE);
    if (made !== 1) return;
    log.error(who, "the group was gone; it is created again at the first entry");
    await lookForLosses();
    last = undefined;
  }

  /** A consumer that waits for messages is not there for others, or seems idle: this read is for being seen. */
  async function showItself(): Promise<void> {
    await redis.call("XREADGROUP", "GROUP", group, consumer, "COUNT", 1, "STREAMS", stream, LAST_ID);
  }

  async function tick(): Promise<void> {
    const now = performance.now();
    if (now - shownAt >= SHOWN_EVERY_MS) {
      shownAt = now;
      await showItself();
    }
    if (now - heldAt >= reclaimAfterMs / 4) {
      heldAt = now;
      await hold();
      await run(SWEEP, consumer, 3 * reclaimAfterMs);
    }
    await reclaim(now);
    if (now - lossesAt >= LOSSES_EVERY_MS) {
      lossesAt = now;
      await lookForLosses();
    }
    if (now - trimAt >= trim.everyMs) {
      trimAt = now;
      await runScript(redis, TRIM, keys, [trim.everyMs, trim.keepMs, trim.keepMessages]);
    }
  }

  async function guardedTick(): Promise<void> {
    if (ticking || redis.status !== "ready") return;
    ticking = true;
    try {
      await tick();
    } catch (error) {
      const kind = failureOf(error);
      if (kind === "bug") failure ??= error;
      else log.debug({ ...who, err: error }, "upkeep was interrupted");
    } finally {
      ticking = false;
    }
  }

  return {
    async start() {
      await run(ENSURE);
      await lookForLosses();
      await resume();
      timer = setInterval(guardedTick, Math.max(50, Math.min(LONGEST_TICK_MS, reclaimAfterMs / 4)));
    },
    resume,
    stop: () => clearInterval(timer),
    seen,
    redeliver,
    regroup,
    losses() {
      const ranges = found;
      found = [];
      return ranges;
    },
    takeFailure() {
      const error = failure;
      failure = undefined;
      return error;
    },
  };
}
