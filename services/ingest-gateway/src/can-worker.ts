import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type Bus, consume, type Entry, type EntryOutcome, type KeyValue } from "@sluice/bus";
import {
  CAN_STREAM,
  type ClockPolicy,
  DEFAULT_CLOCK_POLICY,
  encodeMessage,
  GROUPS,
  OutageError,
  type Outcome,
  type Resource,
  streamKey,
} from "@sluice/shared-types";
import { type DecodedFrame, type DecodedFrames, decodeFrames, type Pressures } from "./can-decode.ts";
import { showLive } from "./can-live.ts";
import { createInstance } from "./lease.ts";
import type { Log } from "./log.ts";
import { type Outcomes, openOutcomes } from "./outcomes.ts";

/** The worker as the gateway is configured: none where nothing is stored in PostgreSQL. */
export async function openCan(
  deps: Omit<CanDeps, "clock" | "outcomes"> & {
    config: { SLUICE_SINKS: readonly string[]; MAX_FUTURE: number; SLUICE_TIME_ZONE: string };
  },
): Promise<CanWorker | undefined> {
  const { config, bus, log } = deps;
  if (!config.SLUICE_SINKS.includes(GROUPS.postgres)) return undefined;
  const clock = {
    ...DEFAULT_CLOCK_POLICY,
    maxFutureMs: config.MAX_FUTURE,
    timeZone: config.SLUICE_TIME_ZONE,
  };
  const outcomes = await openOutcomes(bus, randomUUID(), log);
  const worker = await openCanWorker({ ...deps, clock, outcomes });
  return {
    done: worker.done,
    ping: outcomes.ping,
    close: async () => {
      await worker.close();
      await outcomes.close();
    },
  };
}

/** What the CAN worker works with; the caller closes it all. */
export interface CanDeps {
  bus: Bus;
  keyValue: Pick<KeyValue, "claim" | "release" | "find" | "put" | "remember">;
  outcomes: Outcomes;
  clock: ClockPolicy;
  log: Log;
}

/** The worker. */
export interface CanWorker extends Resource {
  /** Rejects with the first defect; resolves when it is closed. */
  readonly done: Promise<void>;
}

/** As the source system named it: there is one at a time. */
const CONSUMER = "can-worker-1";
const LEASE = "can-worker";
const LEASE_MS = 5_000;
const MAX_FRAMES = 512;
const WAIT_MS = 1_000;
const TELL_WAIT_MS = 5_000;
/** Pressures before the oldest frame that is not acknowledged yet. */
const PRESSURES = "sluice:can:{0}:pressures";

/**
 * Consumes `can:raw`: frames become telemetry or refusals, and are acknowledged once the database has committed
 * them. One gateway at a time does it, because humidity depends on the pressure that came before.
 */
async function openCanWorker(deps: CanDeps): Promise<CanWorker> {
  const { bus, keyValue } = deps;
  await bus.ensureGroup(CAN_STREAM, GROUPS.can);
  const stop = new AbortController();
  const instance = createInstance();
  const running = (async () => {
    while (!stop.signal.aborted) {
      if (await isHeld(keyValue, instance)) await work(deps, instance, stop.signal);
      else await delay(LEASE_MS / 5, undefined, { signal: stop.signal }).catch(() => {});
    }
  })();
  running.catch(() => {}); // whoever waits for `done` hears it
  return {
    done: running,
    ping: async () => {},
    close: async () => {
      stop.abort();
      await running.catch(() => {});
      await keyValue.release(LEASE, instance).catch(() => {}); // it runs out by itself
    },
  };
}

async function isHeld(keyValue: CanDeps["keyValue"], instance: string): Promise<boolean> {
  try {
    return (await keyValue.claim(LEASE, instance, LEASE_MS)) === instance;
  } catch (error) {
    if (error instanceof OutageError) return false;
    throw error;
  }
}

/** Consumes for as long as the lease is held. */
async function work(deps: CanDeps, instance: string, signal: AbortSignal): Promise<void> {
  const lost = new AbortController();
  const stop = AbortSignal.any([signal, lost.signal]);
  const hold = setInterval(() => {
    isHeld(deps.keyValue, instance).then(
      (held) => {
        if (!held) lost.abort();
      },
      () => lost.abort(),
    );
  }, LEASE_MS / 3);
  try {
    let pressures = JSON.parse((await deps.keyValue.find(PRESSURES)) ?? "{}") as Pressures;
    const reader = await deps.bus.reader({ stream: CAN_STREAM, group: GROUPS.can, consumer: CONSUMER });
    await consume(reader, {
      async handle(entries) {
        const decoded = decodeFrames(entries, pressures, deps.clock);
        await deps.keyValue.put(PRESSURES, JSON.stringify(pressures));
        const outcomes = await store(deps, entries, decoded, stop);
        pressures = decoded.pressures;
        const accepted = decoded.frames.filter((frame) => "envelope" in frame);
        await showLive(deps.keyValue, accepted, Date.now() * 1000);
        return outcomes;
      },
      quarantine: (entry, error) =>
        Promise.reject(new Error(`entry ${entry.id} cannot be kept`, { cause: error })),
      signal: stop,
      log: deps.log,
      maxMessages: MAX_FRAMES,
      waitMs: WAIT_MS,
      onLoss: (range) => deps.log.error({ ...range }, "CAN frames are gone before they were read"),
    });
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    deps.log.warn({ err: error }, "the CAN worker starts again");
    await delay(1_000, undefined, { signal }).catch(() => {});
  } finally {
    clearInterval(hold);
  }
}

const FATES = {
  stored: { stored: 1, duplicate: 0, quarantined: 0 },
  duplicate: { stored: 0, duplicate: 1, quarantined: 0 },
  quarantined: { stored: 0, duplicate: 0, quarantined: 1 },
} as const;

/** Resolves when every frame is committed, or kept in `rejected`. */
async function store(
  deps: CanDeps,
  entries: readonly Entry[],
  { frames }: DecodedFrames,
  stop: AbortSignal,
): Promise<EntryOutcome[]> {
  const accepted = frames.filter((frame) => "envelope" in frame);
  const refused = frames.filter((frame) => "rejected" in frame);
  if (refused.length > 0) {
    await deps.bus.publish(
      streamKey("rejected"),
      refused.map(({ rejected }) => JSON.stringify(rejected)),
    );
  }
  const levels = new Map<string, Outcome["level"][]>(entries.map(({ id }) => [id, []]));
  const told = await committed(deps, accepted, stop);
  for (const [i, { entryId }] of accepted.entries()) levels.get(entryId)?.push(told[i] ?? "quarantined");
  for (const { entryId } of refused) levels.get(entryId)?.push("quarantined");
  return entries.map(({ id }) => {
    const outcome = { id, stored: 0, duplicate: 0, quarantined: 0 };
    for (const level of levels.get(id) ?? []) {
      const fate = FATES[level];
      outcome.stored += fate.stored;
      outcome.duplicate += fate.duplicate;
      outcome.quarantined += fate.quarantined;
    }
    return outcome;
  });
}

let references = 0;

/** Appends messages and waits until the worker has told the outcome of each. */
async function committed(
  { bus, outcomes }: CanDeps,
  frames: readonly DecodedFrame[],
  stop: AbortSignal,
): Promise<Outcome["level"][]> {
  if (frames.length === 0) return [];
  const names = frames.map(() => `${outcomes.instance}/can-${++references}`);
  const waiting = names.map((reference) => outcomes.wait(reference, TELL_WAIT_MS));
  const texts = frames.map(({ envelope, payload }, i) =>
    encodeMessage({ ...envelope, notify: names[i] ?? "" }, payload),
  );
  const ids = await bus.publish(streamKey("telemetry"), texts);
  const told = await Promise.all(waiting);
  for (let i = 0; i < told.length; i++) {
    while (told[i] === undefined) {
      if (stop.aborted) throw new OutageError("postgres", "stopped before the database had committed");
      await unlessSettled(bus, ids[i] ?? "");
      told[i] = await outcomes.wait(names[i] ?? "", TELL_WAIT_MS);
    }
  }
  return told.map((outcome) => outcome?.level ?? "quarantined");
}

/** What was acknowledged without our having heard of it is sent again: then it is a duplicate, and told. */
async function unlessSettled(bus: Bus, id: string): Promise<void> {
  const fates = await bus.fates(streamKey("telemetry"), id.slice(0, id.indexOf("#")));
  const state = fates.find(({ group }) => group === GROUPS.postgres)?.state ?? "settled";
  if (state === "settled") throw new OutageError("postgres", "the outcome of a CAN frame was not heard");
}
