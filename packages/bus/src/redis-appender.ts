import { randomUUID } from "node:crypto";
import { OutageError } from "@sluice/shared-types";
import type { Redis } from "ioredis";
import type { Log } from "./log.ts";
import { type Call, createPublishQueue, QUEUE_WAIT_MS } from "./publish-queue.ts";
import { APPEND } from "./redis-append-scripts.ts";
import { classify, failureOf, whenReady } from "./redis-connection.ts";
import { findRange } from "./redis-keys.ts";
import { runScript } from "./redis-script.ts";

const LANES = 2;
const ENTRY_MESSAGES = 128;
const ENTRY_BYTES = 256 * 1024;
const APPEND_MESSAGES = 4_096;
const APPEND_BYTES = 1024 * 1024;
/** How long one look at the replicas takes; under the time after which a silent socket counts as dead. */
const REPLICA_WAIT_MS = 1_000;
/** How long Redis remembers the last sequence of a producer. */
const PRODUCER_TTL_MS = 24 * 3_600_000;

/** Refusals that come from within the script, after it has looked whether the sequence was appended before. */
const REFUSED_BY_SCRIPT = /(OOM|MISCONF|READONLY|NOREPLICAS) /;

/** How carefully it appends; see `RedisBusOptions`. */
export interface AppenderOptions {
  log: Log;
  replicas: number;
  aboveKnown: boolean;
}

interface Append {
  calls: Call[];
  args: (string | number)[];
  /** Messages of each entry. */
  counts: number[];
}

interface Lane {
  producer: string;
  sequence: number;
}

/** Appends to one stream. */
export interface Appender {
  publish(messages: readonly string[]): Promise<string[]>;
  /** Waits for what is under way, at most `timeoutMs`. */
  close(timeoutMs: number): Promise<void>;
}

/**
 * Groups appends: while {@link LANES} appends are under way, further publishes collect. A lone publish leaves
 * in the same turn of the event loop. Appends whose connection was cut are sent again in their order, under
 * their sequence, for as long as it takes: only then is known that they happened once.
 */
export function createAppender(
  redis: Redis,
  stream: string,
  keys: readonly string[],
  { log, replicas, aboveKnown }: AppenderOptions,
): Appender {
  const producer = randomUUID();
  const idle: Lane[] = [];
  for (let lane = 0; lane < LANES; lane++) idle.push({ producer: `${producer}:${lane}`, sequence: 0 });
  const queue = createPublishQueue("redis", schedule);
  let scheduled = false;
  /** Last ordinal that was accepted here. */
  let reached = 0;
  const underWay = new Set<Promise<void>>();

  function schedule(): void {
    if (scheduled || idle.length === 0) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      while (queue.size() > 0) {
        const lane = idle.shift();
        if (!lane) return;
        const sent: Promise<void> = send(lane, pack(queue.take(APPEND_MESSAGES, APPEND_BYTES))).finally(
          () => {
            underWay.delete(sent);
            idle.push(lane);
            if (queue.size() > 0) schedule();
          },
        );
        underWay.add(sent);
      }
    });
  }

  async function send(lane: Lane, append: Append): Promise<void> {
    lane.sequence++;
    const all = [...keys, `${keys[0]}:producer:${lane.producer}`];
    for (let sent = false, unknown = false; ; ) {
      try {
        // Every sender waits on the same event, and so goes on in the order in which it was cut.
        await whenReady(redis, QUEUE_WAIT_MS);
        sent = true;
        const args = [lane.sequence, PRODUCER_TTL_MS, aboveKnown ? reached : 0, ...append.args];
        const reply = ((await runScript(redis, APPEND, all, args)) as string).split(" ");
        if (replicas > 0) await confirm();
        reached = Math.max(reached, findRange(reply.at(-1) ?? "")?.to ?? 0);
        deliver(append, reply);
        return;
      } catch (error) {
        unknown ||= sent && (error instanceof OutageError || failureOf(error) === "cut");
        if (unknown && !REFUSED_BY_SCRIPT.test(String(error)) && redis.status !== "end") {
          log.debug({ stream, err: error }, "append is sent again: its outcome is not known");
          if (redis.status === "ready") await new Promise((resume) => setTimeout(resume, 10));
          continue;
        }
        for (const call of append.calls) call.reject(classify(error));
        return;
      }
    }
  }

  /** Until enough replicas have what this connection has written. */
  async function confirm(): Promise<void> {
    const have = Number(await redis.call("WAIT", replicas, REPLICA_WAIT_MS));
    if (have < replicas)
      throw new OutageError("redis", `only ${have} of ${replicas} replicas have the append`);
  }

  return {
    publish: queue.add,
    async close(timeoutMs) {
      const end = Date.now() + timeoutMs;
      while ((queue.size() > 0 || underWay.size > 0) && Date.now() < end && redis.status !== "end") {
        await new Promise((resume) => setTimeout(resume, 5));
      }
      queue.close();
    },
  };
}

function pack(calls: Call[]): Append {
  const args: (string | number)[] = [];
  const counts: number[] = [];
  let at = -1;
  let count = 0;
  let bytes = 0;
  for (const call of calls) {
    for (const message of call.messages) {
      if (at < 0 || count === ENTRY_MESSAGES || bytes + message.length > ENTRY_BYTES) {
        if (at >= 0) counts.push(count);
        if (at >= 0) args[at] = count;
        at = args.push(0) - 1;
        count = 0;
        bytes = 0;
      }
      args.push(message);
      count++;
      bytes += message.length;
    }
  }
  args[at] = count;
  counts.push(count);
  return { calls, args, counts };
}

/** `reply` is the sequence and the ids of the entries. */
function deliver({ calls, counts }: Append, reply: string[]): void {
  let entry = 0;
  let index = 0;
  for (const call of calls) {
    const ids: string[] = [];
    for (let i = 0; i < call.messages.length; i++) {
      if (index === counts[entry]) {
        entry++;
        index = 0;
      }
      ids.push(`${reply[entry + 1]}#${index++}`);
    }
    call.resolve(ids);
  }
}
