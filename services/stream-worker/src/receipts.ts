import type { Bus, Reader } from "@sluice/bus";
import { type Db, deleteReceipts, type Log, listOldReceipts } from "@sluice/db";
import { OutageError, type Resource } from "@sluice/shared-types";

const FORGET_EVERY_MS = 1_000;
const SWEEP_EVERY_MS = 60_000;

/** Deletes receipts once they are of no more use. */
export interface Receipts extends Resource {
  /** `reader`, whose successful acknowledgements are noted. */
  watch(reader: Reader): Reader;
  /** Deletes those left behind by workers that were killed between acknowledgement and deletion. */
  sweep(): Promise<void>;
}

/** Opens the upkeep of the receipts of `stream`. The caller closes it. */
export function openReceipts(
  db: Db,
  bus: Pick<Bus, "lag">,
  stream: string,
  group: string,
  log: Log,
): Receipts {
  let done: string[] = [];
  let working: Promise<void> | undefined;
  let failure: Error | undefined;

  async function forget(): Promise<void> {
    const ids = done;
    done = [];
    try {
      await deleteReceipts(db, stream, ids);
    } catch (error) {
      done = ids.concat(done);
      throw error;
    }
  }

  async function sweep(): Promise<void> {
    const old = await listOldReceipts(db, stream, SWEEP_EVERY_MS);
    if (old.length === 0) return;
    const lag = (await bus.lag(stream)).groups.find((one) => one.group === group);
    if (!lag) return;
    // an entry's id begins with the time it was appended: what is older than all that is pending is acknowledged
    const pendingFromMs =
      lag.oldestPendingMs === null ? Number.POSITIVE_INFINITY : Date.now() - lag.oldestPendingMs - 1000;
    await deleteReceipts(
      db,
      stream,
      old.filter((id) => lag.pendingEntries === 0 || Number.parseInt(id, 10) < pendingFromMs),
    );
  }

  const run = (work: () => Promise<void>) => {
    working ??= work()
      .catch((error: Error) => {
        if (error instanceof OutageError) log.debug({ err: error }, "receipts are deleted later");
        else failure = error;
      })
      .finally(() => {
        working = undefined;
      });
  };
  const timers = [
    setInterval(() => run(forget), FORGET_EVERY_MS),
    setInterval(() => run(sweep), SWEEP_EVERY_MS),
  ];
  return {
    watch: (reader) => ({
      read: (maxMessages, waitMs) => reader.read(maxMessages, waitMs),
      release: (ids) => reader.release(ids),
      losses: () => reader.losses(),
      close: () => reader.close(),
      async ack(outcomes) {
        const counted = await reader.ack(outcomes);
        for (const { id } of outcomes) done.push(id);
        return counted;
      },
    }),
    sweep,
    ping: async () => {
      if (failure) throw failure;
    },
    close: async () => {
      for (const timer of timers) clearInterval(timer);
      await working;
      await forget();
    },
  };
}
