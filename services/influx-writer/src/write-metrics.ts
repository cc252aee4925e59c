import { type Log, type Metrics, SIZE_BUCKETS } from "@sluice/service-kit";
import type { WrittenBatch } from "./write-batch.ts";

const LOG_EVERY_MS = 10_000;

/** Counts what was written; logs the first refusal of each reason, and at most one more in ten seconds. */
export function createWriteMetrics(metrics: Metrics, log: Log): (written: WrittenBatch) => void {
  const points = metrics.counter("influx_points_total", "Points InfluxDB has confirmed or refused by name");
  const size = metrics.histogram("influx_batch_points", "Points written for one batch", SIZE_BUCKETS);
  const latency = metrics.histogram(
    "influx_latency_seconds",
    "From receipt of a message to its confirmation",
  );
  const refusals = metrics.counter("influx_refused_total", "Refused parts of messages", ["reason"]);
  const empty = metrics.counter("influx_empty_messages_total", "Messages that hold nothing but nulls");
  const untagged = metrics.counter(
    "influx_untagged_messages_total",
    "Messages whose own tags were left out: their device had too many series",
  );
  const loggedAtMs = new Map<string, number>();

  return (written) => {
    const nowMs = Date.now();
    points.inc(written.points);
    size.observe(written.points);
    empty.inc(written.empty);
    untagged.inc(written.untagged);
    for (const receivedUs of written.receivedUs)
      latency.observe(Math.max(0, nowMs - receivedUs / 1000) / 1000);
    for (const refused of written.refused) {
      refusals.inc({ reason: refused.reason });
      if (nowMs - (loggedAtMs.get(refused.reason) ?? 0) < LOG_EVERY_MS) continue;
      loggedAtMs.set(refused.reason, nowMs);
      log.warn(refused, "not stored in InfluxDB: kept in quarantine");
    }
  };
}
