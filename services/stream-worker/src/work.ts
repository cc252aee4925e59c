import { hostname } from "node:os";
import { type Bus, consume, type Reader } from "@sluice/bus";
import type { Db, Log } from "@sluice/db";
import { createSensorRegistry } from "@sluice/db";
import type { Metrics, ServiceContext } from "@sluice/service-kit";
import { GROUPS, streamKey } from "@sluice/shared-types";
import type { z } from "zod";
import type { Config } from "./config.ts";
import { keepHouse } from "./keep-house.ts";
import { parkLagging } from "./park-lagging.ts";
import { openReceipts } from "./receipts.ts";
import { createStore, SLICE_CHARS } from "./store-batch.ts";
import { createRejectedStore } from "./store-rejected.ts";
import { traceStore } from "./trace-store.ts";
import { watchStoring } from "./watch-storing.ts";
import { createWorkerMetrics } from "./worker-metrics.ts";

const WAIT_MS = 1_000;
/** Each may carry 64 KB of original bytes. */
const REJECTED_MESSAGES = 128;
/** One transaction waits for its fsync while the next one is written. */
const IN_FLIGHT = 2;

/** What the worker runs on. */
export interface WorkContext
  extends Pick<ServiceContext<z.output<typeof Config>>, "config" | "signal" | "use" | "tracing"> {
  bus: Bus;
  db: Db;
  log: Log;
  metrics: Metrics;
}

/** Consumes every partition, telemetry and refusals, until the signal. Rejects with the first defect. */
export async function work(context: WorkContext, started: () => void): Promise<void> {
  const { config, bus, db } = context;
  const registry = createSensorRegistry(db, {
    autoRegister: config.SLUICE_AUTO_REGISTER,
    sensorBudget: config.SLUICE_SENSOR_BUDGET,
  });
  const storing = context.use("postgres-writes", watchStoring());
  const metrics = createWorkerMetrics(context.metrics, context.log);
  const running: Promise<void>[] = [];
  // One bound for the process: each of its partitions has as much fewer devices, so a sensor's rows are as many together.
  const share = 1 / config.SLUICE_PARTITIONS;
  for (let partition = 0; partition < config.SLUICE_PARTITIONS; partition++) {
    const stream = streamKey("telemetry", partition);
    const rejected = streamKey("rejected", partition);
    const receipts = context.use(
      `receipts of ${stream}`,
      openReceipts(db, bus, stream, GROUPS.postgres, context.log),
    );
    const plain = createStore({
      db,
      bus,
      registry,
      autoRegister: config.SLUICE_AUTO_REGISTER,
      stream,
      // One for all partitions: who waits for an outcome does not know where its message went.
      outcomes: streamKey("outcomes"),
      sliceChars: SLICE_CHARS * share,
      onStored: metrics.stored,
    });
    const store = traceStore(plain, context.tracing);
    const common = { signal: context.signal, log: context.log, waitMs: WAIT_MS, onLoss: metrics.lost };
    running.push(
      consume(receipts.watch(await openReader(context, stream)), {
        ...common,
        ...store,
        handle: storing.watch(store.handle),
        maxMessages: Math.ceil(config.SLUICE_BATCH_MESSAGES * share),
        inFlight: IN_FLIGHT,
        onBatch: metrics.took,
      }),
      consume(await openReader(context, rejected), {
        ...common,
        ...createRejectedStore(db, rejected),
        maxMessages: REJECTED_MESSAGES,
      }),
    );
  }
  const { signal, log } = context;
  const megabytes = 1024 * 1024;
  const parked = context.metrics.counter("parked_messages_total", "Messages parked for groups that lag", [
    "group",
  ]);
  running.push(
    parkLagging(bus, db, {
      streams: Array.from({ length: config.SLUICE_PARTITIONS }, (_, i) => streamKey("telemetry", i)),
      highWater: config.SLUICE_HIGH_WATER,
      maxParkedBytes: config.SLUICE_PARK_MAX_MB * megabytes,
      signal,
      log,
      onParked: (group, messages) => parked.inc({ group }, messages),
    }),
    keepHouse(db, context.metrics, {
      quarantineDays: config.SLUICE_QUARANTINE_DAYS,
      quarantineMaxBytes: config.SLUICE_QUARANTINE_MAX_MB * megabytes,
      signal,
      log,
    }),
  );
  started();
  await Promise.all(running);
}

async function openReader({ bus, config }: WorkContext, stream: string): Promise<Reader> {
  await bus.ensureGroup(stream, GROUPS.postgres);
  const consumer = config.SLUICE_CONSUMER ?? `worker-${hostname()}-${process.pid}`;
  return bus.reader({ stream, group: GROUPS.postgres, consumer });
}
