import type { Redis } from "ioredis";
import type { Entry, EntryOutcome, LostRange, Reader, ReaderOptions } from "./bus.ts";
import { createInbox } from "./inbox.ts";
import type { Log } from "./log.ts";
import { ACK } from "./redis-append-scripts.ts";
import { classify, failureOf, MAX_BLOCK_MS, whenReady } from "./redis-connection.ts";
import { LEAVE } from "./redis-group-scripts.ts";
import { streamKeys } from "./redis-keys.ts";
import { runScript } from "./redis-script.ts";
import { createUpkeep, type RawEntry, toEntry } from "./redis-upkeep.ts";
import type { TrimPolicy } from "./trim-policy.ts";

const READY_WAIT_MS = 2_000;
const CLOSE_WAIT_MS = 1_000;
/** About so much is asked for at once: the answer stands beside the stream in Redis' memory until it is taken. */
const READ_BYTES = 4 * 1024 * 1024;

/**
 * Opens a reader: `blocking` is its own connection, which it closes; `redis` is shared. One blocking read at a
 * time feeds the inbox, so that a read can return what was taken over from others while it still waits.
 */
export async function openRedisReader(
  { redis, blocking, trim, log }: { redis: Redis; blocking: Redis; trim: TrimPolicy; log: Log },
  options: ReaderOptions,
): Promise<Reader> {
  const { stream, group, consumer } = options;
  const inbox = createInbox();
  const upkeep = createUpkeep({ redis, inbox, trim, log }, options);
  let fetching: Promise<void> | undefined;
  let failure: unknown;
  let perEntry = 128;
  let entryBytes = 256 * 1024;
  let closing: Promise<void> | undefined;
  let clientId: unknown;
  let reconnected = false;
  blocking.on("ready", () => {
    clientId = undefined;
    reconnected = true;
  });
  await upkeep.start();

  async function fetch(maxMessages: number, waitMs: number): Promise<void> {
    await whenReady(blocking, READY_WAIT_MS);
    clientId ??= await blocking.call("CLIENT", "ID");
    const wanted = Math.min(Math.ceil(maxMessages / perEntry), Math.floor(READ_BYTES / entryBytes));
    const count = Math.max(1, Math.min(1_000, wanted));
    const block = waitMs > 0 ? ["BLOCK", Math.ceil(Math.min(waitMs, MAX_BLOCK_MS))] : [];
    const args = ["GROUP", group, consumer, "COUNT", count, ...block, "STREAMS", stream, ">"];
    const reply = (await blocking.call("XREADGROUP", ...args)) as [string, RawEntry[]][] | null;
    const raw = reply?.[0]?.[1] ?? [];
    if (raw.length === 0) return;
    const entries = raw.map((entry) => toEntry(entry, 1));
    let messages = 0;
    let bytes = 0;
    for (const entry of entries) {
      messages += entry.messages.length;
      for (const message of entry.messages) bytes += message.length;
    }
    const cautious = (sofar: number, mean: number) => Math.max(mean, sofar * 0.75 + mean * 0.25);
    perEntry = cautious(perEntry, messages / entries.length);
    entryBytes = cautious(entryBytes, bytes / entries.length);
    upkeep.seen(entries);
    inbox.push(entries);
  }

  function startFetch(maxMessages: number, waitMs: number): Promise<void> {
    fetching ??= fetch(maxMessages, waitMs)
      .catch(async (error) => {
        if (closing) return;
        if (failureOf(error) === "nogroup") await upkeep.regroup();
        else failure ??= error;
      })
      .catch((error) => {
        failure ??= error;
      })
      .finally(() => {
        fetching = undefined;
      });
    return fetching;
  }

  async function regroupOrThrow(error: unknown): Promise<void> {
    if (failureOf(error) !== "nogroup") throw classify(error);
    await upkeep.regroup().catch((cause) => {
      throw classify(cause);
    });
  }

  /** What was delivered on a connection that was cut is pending and will not be sent again by itself. */
  async function resumeAfterCut(): Promise<void> {
    if (!reconnected || fetching) return;
    reconnected = false;
    try {
      await upkeep.resume();
    } catch (error) {
      reconnected = true;
      await regroupOrThrow(error);
    }
  }

  function raise(): void {
    const error = failure ?? upkeep.takeFailure();
    failure = undefined;
    if (error !== undefined) throw classify(error);
  }

  async function read(maxMessages: number, waitMs: number): Promise<Entry[]> {
    const endMs = Date.now() + waitMs;
    for (;;) {
      if (closing) return [];
      raise();
      await resumeAfterCut();
      await upkeep.redeliver().catch(regroupOrThrow);
      const entries = inbox.take(maxMessages);
      const leftMs = endMs - Date.now();
      if (entries.length > 0 || (leftMs <= 0 && waitMs > 0)) return entries;
      await Promise.race([startFetch(maxMessages, leftMs), inbox.arrival()]);
      if (waitMs <= 0) {
        raise();
        return inbox.take(maxMessages);
      }
    }
  }

  async function ack(outcomes: readonly EntryOutcome[]): Promise<string[]> {
    if (outcomes.length === 0) return [];
    const args: (string | number)[] = [group];
    for (const { id, stored, duplicate, quarantined } of outcomes) {
      args.push(id, stored, duplicate, quarantined, inbox.isForeign(id) ? 1 : 0);
    }
    try {
      await whenReady(redis, READY_WAIT_MS);
      const counted = (await runScript(redis, ACK, streamKeys(stream), args)) as string[];
      inbox.drop(outcomes.map(({ id }) => id));
      return counted;
    } catch (error) {
      throw classify(error);
    }
  }

  async function close(): Promise<void> {
    upkeep.stop();
    const wait = fetching;
    if (wait && clientId !== undefined && redis.status === "ready") {
      await redis.call("CLIENT", "UNBLOCK", String(clientId)).catch(() => undefined);
      await Promise.race([wait, new Promise((resume) => setTimeout(resume, CLOSE_WAIT_MS).unref())]);
    }
    blocking.disconnect();
    await runScript(redis, LEAVE, [stream], [group, consumer]).catch((error) => {
      log.debug({ stream, group, consumer, err: error }, "could not leave the group");
    });
    inbox.wake();
  }

  return {
    read,
    ack,
    release: (ids) => inbox.release(ids),
    losses: (): LostRange[] => upkeep.losses(),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}
