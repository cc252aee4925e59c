import { hostname } from "node:os";
import { type Bus, type ConsumeOptions, consume } from "@sluice/bus";
import { GROUPS, streamKey } from "@sluice/shared-types";
import type { z } from "zod";
import type { Config } from "./config.ts";

/** Beyond this more messages at once write no faster and only take memory (5,000: 280 MB, 2,000: 230 MB). */
const MOST_MESSAGES = 2_000;

/** Consumes every partition of telemetry as the `influx` group, until the signal; rejects as `consume` does. */
export async function consumePartitions(
  bus: Bus,
  config: z.output<typeof Config>,
  handlers: Omit<ConsumeOptions, "maxMessages" | "waitMs">,
): Promise<void> {
  const consumer = config.SLUICE_CONSUMER ?? `influx-writer-${hostname()}-${process.pid}`;
  const options: ConsumeOptions = {
    ...handlers,
    maxMessages: Math.min(config.INFLUXDB_BATCH_SIZE, MOST_MESSAGES),
    waitMs: config.INFLUXDB_FLUSH_INTERVAL,
  };
  const crash = new AbortController();
  const signal = AbortSignal.any([options.signal, crash.signal]);
  const readers = await Promise.all(
    Array.from({ length: config.SLUICE_PARTITIONS }, async (_, partition) => {
      const stream = streamKey("telemetry", partition);
      await bus.ensureGroup(stream, GROUPS.influx);
      return bus.reader({ stream, group: GROUPS.influx, consumer });
    }),
  );
  const running = readers.map((reader) =>
    consume(reader, { ...options, signal }).catch((error: unknown) => {
      crash.abort(); // the other partitions finish what they have
      throw error;
    }),
  );
  const failed = (await Promise.allSettled(running)).find((end) => end.status === "rejected");
  if (failed) throw failed.reason;
}
