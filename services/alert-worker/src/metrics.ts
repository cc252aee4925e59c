import { LATENCY_BUCKETS, type Metrics } from "@sluice/service-kit";
import type { Change } from "./judge.ts";

/** What this service counts. */
export interface AlertMetrics {
  /** A batch is judged and committed. */
  judged(messages: number, changes: readonly Change[]): void;
  took(batch: { ms: number }): void;
  /** Alerts that time alone changed. */
  timed(event: "offline" | "escalated", alerts: number): void;
  /** A notification was sent, or not. */
  notified(channel: string, outcome: "sent" | "retry" | "failed"): void;
}

/** Registers the metrics. */
export function createAlertMetrics(metrics: Metrics): AlertMetrics {
  const judged = metrics.counter("alert_messages_total", "Messages judged by the rules");
  const changes = metrics.counter("alert_changes_total", "Alerts by what happened to them", ["event"]);
  const flags = metrics.counter("quality_flags_total", "Doubts about readings", ["flag"]);
  const notified = metrics.counter("notifications_total", "Notifications by channel and outcome", [
    "channel",
    "outcome",
  ]);
  const seconds = metrics.histogram(
    "alert_batch_seconds",
    "From reading a batch to acknowledging it",
    LATENCY_BUCKETS,
  );
  return {
    judged(messages, happened) {
      judged.inc(messages);
      for (const change of happened) {
        if (change.kind === "flag") flags.inc({ flag: change.flag });
        else if ("alert" in change) changes.inc({ event: change.kind });
      }
    },
    took: ({ ms }) => seconds.observe(ms / 1000),
    timed: (event, alerts) => changes.inc({ event }, alerts),
    notified: (channel, outcome) => notified.inc({ channel, outcome }),
  };
}
