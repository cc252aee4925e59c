import { type Bus, type ConsumeOptions, consume, consumeParked, type Reader } from "@sluice/bus";
import { type Db, type Log, refillParked } from "@sluice/db";
import { GROUPS, streamKey } from "@sluice/shared-types";
import type { Config } from "./config.ts";
import { createJudge } from "./judge-batch.ts";
import { keepTime } from "./keep-time.ts";
import type { Term } from "./lead.ts";
import type { AlertMetrics } from "./metrics.ts";
import { createRuleBook } from "./rule-book.ts";

/** What watching needs. */
export interface WatchDeps {
  db: Db;
  bus: Bus;
  config: Config;
  log: Log;
  metrics: AlertMetrics;
}

const BATCH_MESSAGES = 1_000;
const WAIT_MS = 1_000;
/**
 * One name for whoever leads: what the last one left in hand comes before anything newer. Under a name of its own a
 * successor would read on, and what it took over later would come too late for the rules.
 */
const CONSUMER = "alert-worker";

/** The readings of one stream on their way through the rules. */
interface Lane extends Pick<ConsumeOptions, "handle" | "quarantine"> {
  stream: string;
  /** `reader`, whose acknowledgements are noted: their receipts can go. */
  note(reader: Reader): Reader;
}

/**
 * Judges every message of every partition in order, and what time alone brings about, until the term ends. What was
 * parked comes first, being older than what is on the bus. Rejects with the first defect.
 */
export async function watch(deps: WatchDeps, term: Term): Promise<void> {
  const { bus, log, metrics } = deps;
  const crash = new AbortController();
  const signal = AbortSignal.any([term.signal, crash.signal]);
  /** When the gateway got the newest message that is judged, by stream. */
  const judgedUs = new Map<string, number>();
  const lanes = createLanes(deps, { ...term, signal }, judgedUs);
  await judgeParked(deps, lanes, signal, true);
  const running = [
    ...lanes.map(async (lane) => {
      await bus.ensureGroup(lane.stream, GROUPS.alerts);
      const { stream } = lane;
      const reader = await bus.reader({ stream, group: GROUPS.alerts, consumer: CONSUMER });
      await consume(lane.note(reader), {
        ...{ handle: lane.handle, quarantine: lane.quarantine, signal, log },
        maxMessages: BATCH_MESSAGES,
        waitMs: WAIT_MS,
        onBatch: metrics.took,
        onLoss: (range) => log.error({ ...range }, "messages that were accepted are not on the bus any more"),
      });
    }),
    judgeParked(deps, lanes, signal, false),
    keepTime(
      deps,
      { ...term, signal },
      lanes.map(({ stream }) => stream),
      judgedUs,
    ),
  ].map((work) =>
    work.catch((error: unknown) => {
      crash.abort(); // the others finish what they have
      throw error;
    }),
  );
  const failed = (await Promise.allSettled(running)).find((end) => end.status === "rejected");
  if (failed) throw failed.reason;
}

function createLanes({ db, config, metrics }: WatchDeps, term: Term, judgedUs: Map<string, number>): Lane[] {
  const book = createRuleBook(db, {
    autoRegister: config.SLUICE_AUTO_REGISTER,
    sensorBudget: config.SLUICE_SENSOR_BUDGET,
  });
  return Array.from({ length: config.SLUICE_PARTITIONS }, (_, partition) => {
    const stream = streamKey("telemetry", partition);
    const acknowledged = new Set<string>();
    const judge = createJudge({
      ...{ db, book, term, stream, metrics },
      maxAgeMs: config.SLUICE_ALERT_MAX_AGE,
      onDone: (receivedUs) => void judgedUs.set(stream, receivedUs),
      acknowledged: () => [...acknowledged],
      forget: (ids) => {
        for (const id of ids) acknowledged.delete(id);
      },
    });
    const note = (reader: Reader): Reader => ({
      read: (maxMessages, waitMs) => reader.read(maxMessages, waitMs),
      release: (ids) => reader.release(ids),
      losses: () => reader.losses(),
      close: () => reader.close(),
      async ack(outcomes) {
        const counted = await reader.ack(outcomes);
        for (const { id } of outcomes) acknowledged.add(id);
        return counted;
      },
    });
    return { stream, ...judge, note };
  });
}

/** Judges what is parked: until there is no more, or until the signal. */
async function judgeParked(
  { db, bus, log }: WatchDeps,
  lanes: readonly Lane[],
  signal: AbortSignal,
  once: boolean,
): Promise<void> {
  const done = new AbortController();
  let lane = lanes[0] as Lane;
  await consumeParked(bus, {
    take: async (work) => {
      const found = await refillParked(db, GROUPS.alerts, (range) => {
        lane = lanes.find(({ stream }) => stream === range.stream) ?? lane;
        return work(range);
      });
      if (!found && once) done.abort();
      return found;
    },
    handle: (entries) => lane.handle(entries),
    quarantine: (entry, error) => lane.quarantine(entry, error),
    signal: AbortSignal.any([signal, done.signal]),
    log,
  });
}
