import { InvalidInputError, OutageError } from "@sluice/shared-types";
import type { Entry, EntryOutcome, LostRange, Reader } from "./bus.ts";
import { type Log, SILENT } from "./log.ts";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
const LONGEST_ASKED_PAUSE_MS = 60_000;
const LONE_ATTEMPTS = 2;
/** After the signal: how long an acknowledgement of finished work is still tried. */
const LAST_ACK_MS = 5_000;
/**
 * After a batch of fewer than so many messages the next begins so much later at the earliest: messages collect and share a
 * transaction. Fifty of these a second are enough below 6,000 messages a second, and one that comes after a quiet time
 * does not wait.
 */
const SMALL_BATCH = 128;
const GATHER_MS = 20;

/** What a consumer does with what it reads. */
export interface ConsumeOptions {
  /**
   * Processes a batch and says what became of each entry. After it resolves the batch is acknowledged.
   * InvalidInputError: something in it is bad, its entries are tried one at a time. OutageError: held and
   * tried again for as long as it takes. Anything else ends consume.
   */
  handle(entries: readonly Entry[]): Promise<EntryOutcome[]>;
  /** Keeps an entry that failed alone; then it is acknowledged too. */
  quarantine(entry: Entry, error: InvalidInputError): Promise<EntryOutcome>;
  /** Stops reading; batches under way are finished and acknowledged. */
  signal: AbortSignal;
  log?: Log;
  maxMessages: number;
  waitMs: number;
  /** Batches processed at once; the next one is read meanwhile. Default 1. More than 1 gives up order. */
  inFlight?: number;
  onLoss?(range: LostRange): void;
  /** After a batch was acknowledged. */
  onBatch?(batch: { entries: number; messages: number; ms: number }): void;
}

/**
 * The one loop: read, handle, acknowledge. Owns `reader` and closes it. Resolves after the signal, when the
 * batches under way are acknowledged; one that waits for an outage then stays pending for the next consumer.
 * Rejects with the first error that is neither bad input nor an outage.
 */
export async function consume(reader: Reader, options: ConsumeOptions): Promise<void> {
  const { signal, log = SILENT, inFlight = 1 } = options;
  const crash = new AbortController();
  const stop = AbortSignal.any([signal, crash.signal]);
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  const fail = (error: unknown) => {
    failure ??= { error };
    crash.abort();
  };

  const start = (entries: Entry[]) => {
    const batch: Promise<void> = processBatch(reader, options, stop, entries)
      .catch(fail)
      .finally(() => running.delete(batch));
    running.add(batch);
  };

  const retry = createRetry(log, "the bus");
  const smallBatch = Math.min(SMALL_BATCH, options.maxMessages);
  let nextMs = 0;
  try {
    while (!stop.aborted) {
      const waitMs = nextMs - performance.now();
      if (waitMs > 0) await pause(waitMs, stop);
      const entries = await retry(
        () => beforeAbort(stop, reader.read(options.maxMessages, options.waitMs)),
        stop,
      );
      for (const range of reader.losses()) options.onLoss?.(range);
      if (!entries || entries.length === 0) continue;
      if (countMessages(entries) < smallBatch) nextMs = performance.now() + GATHER_MS;
      while (running.size >= inFlight && !crash.signal.aborted) await Promise.race(running);
      if (stop.aborted) reader.release(entries.map(({ id }) => id));
      else start(entries);
    }
  } catch (error) {
    fail(error);
  }
  await Promise.all(running);
  await reader.close();
  if (failure) throw failure.error;
}

async function processBatch(
  reader: Reader,
  options: ConsumeOptions,
  stop: AbortSignal,
  entries: Entry[],
): Promise<void> {
  const startMs = performance.now();
  const { handle, log = SILENT } = options;
  const retry = createRetry(log, "the handler");
  let outcomes: EntryOutcome[] | undefined;
  try {
    outcomes = await retry(() => handle(entries), stop);
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    log.info(
      { entries: entries.length, err: error },
      "bad input in a batch: its entries are tried one at a time",
    );
    for (const entry of entries) await processAlone(reader, options, stop, entry);
    return finished(options, entries, startMs);
  }
  if (!outcomes) return reader.release(entries.map(({ id }) => id));
  if (await acknowledge(reader, log, stop, check(entries, outcomes))) finished(options, entries, startMs);
}

async function processAlone(
  reader: Reader,
  { handle, quarantine, log = SILENT }: ConsumeOptions,
  stop: AbortSignal,
  entry: Entry,
): Promise<void> {
  const retry = createRetry(log, "the handler");
  for (let attempt = 1; ; attempt++) {
    const tried = await retry(() => handle([entry]).catch(invalidOnly), stop);
    if (!tried) return reader.release([entry.id]);
    if (Array.isArray(tried)) {
      await acknowledge(reader, log, stop, check([entry], tried));
      return;
    }
    if (attempt < LONE_ATTEMPTS) continue;
    const kept = await retry(() => quarantine(entry, tried), stop);
    if (!kept) return reader.release([entry.id]);
    await acknowledge(reader, log, stop, check([entry], [kept]));
    return;
  }
}

function finished({ onBatch }: ConsumeOptions, entries: readonly Entry[], startMs: number): void {
  onBatch?.({
    entries: entries.length,
    messages: countMessages(entries),
    ms: performance.now() - startMs,
  });
}

const countMessages = (entries: readonly Entry[]) =>
  entries.reduce((sum, entry) => sum + entry.messages.length, 0);

function invalidOnly(error: unknown): InvalidInputError {
  if (error instanceof InvalidInputError) return error;
  throw error;
}

/** The handler's promise: one outcome for each entry, adding up to its messages. */
function check(entries: readonly Entry[], outcomes: EntryOutcome[]): EntryOutcome[] {
  const byId = new Map(outcomes.map((outcome) => [outcome.id, outcome]));
  for (const { id, messages } of entries) {
    const o = byId.get(id);
    if (!o || o.stored + o.duplicate + o.quarantined !== messages.length) {
      throw new Error(`the outcome of entry ${id} does not add up to its ${messages.length} messages`);
    }
  }
  if (byId.size !== entries.length) throw new Error("outcomes of entries that were not in the batch");
  return outcomes;
}

async function acknowledge(
  reader: Reader,
  log: Log,
  stop: AbortSignal,
  outcomes: EntryOutcome[],
): Promise<boolean> {
  const giveUp = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const stopped = () => {
    timer = setTimeout(() => giveUp.abort(), LAST_ACK_MS);
  };
  if (stop.aborted) stopped();
  else stop.addEventListener("abort", stopped, { once: true });
  try {
    return (await createRetry(log, "the bus")(() => reader.ack(outcomes), giveUp.signal)) !== undefined;
  } finally {
    stop.removeEventListener("abort", stopped);
    clearTimeout(timer);
  }
}

type Retry = <T>(act: () => Promise<T>, stop: AbortSignal) => Promise<T | undefined>;

/** Repeats `act` through outages, with growing pauses; undefined when `stop` came while it had not succeeded. */
function createRetry(log: Log, what: string): Retry {
  return async (act, stop) => {
    for (let failures = 0; ; failures++) {
      try {
        const result = await act();
        if (failures > 0) log.info({ failures }, `${what} works again`);
        return result;
      } catch (error) {
        if (!(error instanceof OutageError)) throw error;
        const say = failures === 0 ? log.warn : log.debug;
        say.call(log, { dependency: error.dependency, err: error }, `${what} is held up by an outage`);
        await pause(pauseMs(failures, error.retryAfterMs), stop);
        if (stop.aborted) return undefined;
      }
    }
  };
}

function pauseMs(failures: number, askedMs = 0): number {
  const growing = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 10));
  return Math.max(growing * (0.5 + Math.random() / 2), Math.min(askedMs, LONGEST_ASKED_PAUSE_MS));
}

function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      stop.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (stop.aborted) done();
    else stop.addEventListener("abort", done, { once: true });
  });
}

/** The result, or undefined as soon as `stop` comes. */
function beforeAbort<T>(stop: AbortSignal, promise: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const aborted = () => resolve(undefined);
    if (stop.aborted) aborted();
    stop.addEventListener("abort", aborted, { once: true });
    promise.then(resolve, reject).finally(() => stop.removeEventListener("abort", aborted));
  });
}
