import type { LostRange } from "@sluice/bus";
import type { Log } from "@sluice/db";
import type { Metrics } from "@sluice/service-kit";
import { LATENCY_BUCKETS, SIZE_BUCKETS } from "@sluice/service-kit";
import type { StoredBatch } from "./store-batch.ts";

/** What a worker counts about what it stores. */
export interface WorkerMetrics {
  stored(batch: StoredBatch): void;
  took(batch: { messages: number; ms: number }): void;
  lost(range: LostRange): void;
}

/** Registers the worker's metrics. */
export function createWorkerMetrics(metrics: Metrics, log: Log): WorkerMetrics {
  const readings = metrics.counter("stored_readings_total", "Readings committed to PostgreSQL");
  const messages = metrics.counter("stored_messages_total", "Messages by what became of them", ["outcome"]);
  const refused = metrics.counter("worker_refusals_total", "Messages kept in quarantine", ["reason"]);
  const batches = metrics.counter("batches_total", "Transactions by path", ["path"]);
  const seconds = metrics.histogram(
    "batch_seconds",
    "From reading a batch to acknowledging it",
    LATENCY_BUCKETS,
  );
  const sizes = metrics.histogram("batch_messages", "Messages in a batch", SIZE_BUCKETS);
  const latency = metrics.histogram(
    "received_to_stored_seconds",
    "From the gateway's receipt to the commit, oldest and newest message of each batch",
    LATENCY_BUCKETS,
  );
  const lost = metrics.counter("lost_messages_total", "Messages that vanished from the bus", [
    "stream",
    "group",
  ]);
  return {
    stored(batch) {
      readings.inc(batch.readings);
      batches.inc({ path: batch.exact ? "exact" : "new" });
      for (const outcome of ["stored", "duplicate", "quarantined"] as const) {
        if (batch[outcome] > 0) messages.inc({ outcome }, batch[outcome]);
      }
      for (const reason of batch.reasons) refused.inc({ reason });
      for (const us of batch.receivedUs) latency.observe(Math.max(0, Date.now() / 1000 - us / 1e6));
      if (batch.reasons.length > 0) {
        log.warn({ reasons: countEach(batch.reasons) }, "messages went to quarantine");
      }
    },
    took({ messages: count, ms }) {
      sizes.observe(count);
      seconds.observe(ms / 1000);
    },
    lost(range) {
      lost.inc({ stream: range.stream, group: range.group }, range.to - range.from + 1);
      log.error({ ...range }, "messages that were accepted are not on the bus any more");
    },
  };
}

function countEach(reasons: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const reason of reasons) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}
