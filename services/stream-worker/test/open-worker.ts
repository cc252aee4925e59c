import { type Bus, consume, type Entry, openBus } from "@sluice/bus";
import { createSensorRegistry, type Db, openDb } from "@sluice/db";
import {
  type Clock,
  type Envelope,
  encodeMessage,
  GROUPS,
  type Resource,
  streamKey,
} from "@sluice/shared-types";
import { openReceipts } from "../src/receipts.ts";
import { createStore, type Store } from "../src/store-batch.ts";
import { createRejectedStore } from "../src/store-rejected.ts";

export const TELEMETRY = streamKey("telemetry");
export const REJECTED = streamKey("rejected");
export const OUTCOMES = streamKey("outcomes");
export const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** What a test says of a message; the rest is made up. */
export interface Said extends Partial<Envelope> {
  device: string;
  timeUs?: number;
  clock?: Clock;
}

/** A message as the gateway puts it on the bus. */
export function message(said: Said, payload: unknown): string {
  const { timeUs = 1_770_000_000_000_000, clock = "device", ...envelope } = said;
  return encodeMessage(
    {
      kind: "telemetry",
      type: "telemetry",
      source: "mqtt",
      receivedUs: timeUs,
      timesUs: [timeUs],
      clock,
      ...envelope,
    },
    JSON.stringify(payload),
  );
}

let entries = 0;
/** An entry that never was on a bus. */
export const entry = (messages: string[], id = `1770000000000-${entries++}`, attempts = 1): Entry => ({
  id,
  ordinal: 0,
  attempts,
  messages,
});

export interface OpenWorker {
  db: Db;
  bus: Bus;
  store: Store;
}

/** A worker's store over real servers; stores differ in their registry as those of two processes do. */
export async function openStore(
  postgresUrl: string,
  redisUrl: string,
  options: { autoRegister?: boolean; sensorBudget?: number } = {},
): Promise<OpenWorker & { close(): Promise<void> }> {
  const db = await openDb(postgresUrl, { max: 4 });
  const bus = await openBus(redisUrl);
  const { autoRegister = true, sensorBudget = 256 } = options;
  const registry = createSensorRegistry(db, { autoRegister, sensorBudget });
  const store = createStore({ db, bus, registry, autoRegister, stream: TELEMETRY, outcomes: OUTCOMES });
  return {
    db,
    bus,
    store,
    close: async () => {
      await bus.close();
      await db.close();
    },
  };
}

/** The worker's two loops, until closed. */
export async function runLoops({ db, bus, store }: OpenWorker, consumer: string): Promise<Resource> {
  const stop = new AbortController();
  const receipts = openReceipts(db, bus, TELEMETRY, GROUPS.postgres, SILENT);
  const reader = async (stream: string) => {
    await bus.ensureGroup(stream, GROUPS.postgres);
    return bus.reader({ stream, group: GROUPS.postgres, consumer, reclaimAfterMs: 300 });
  };
  const common = { signal: stop.signal, maxMessages: 500, waitMs: 100 };
  const loops = Promise.all([
    consume(receipts.watch(await reader(TELEMETRY)), { ...common, ...store, inFlight: 2 }),
    consume(await reader(REJECTED), { ...common, ...createRejectedStore(db, REJECTED) }),
  ]);
  loops.catch(() => {}); // reported by close
  return {
    ping: async () => {},
    close: async () => {
      stop.abort();
      await loops;
      await receipts.close();
    },
  };
}
