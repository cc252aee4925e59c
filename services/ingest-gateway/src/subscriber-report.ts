import type { SessionState } from "./mqtt-session.ts";

/** Where a subscriber says what happens. */
export type Log = Record<"info" | "warn" | "error", (obj: object, msg: string) => void>;

/** Counters as prom-client has them. */
export interface SubscriberMetrics {
  counter(name: string, help: string): { inc(by?: number): void };
  gauge(
    name: string,
    help: string,
    labels: readonly [],
    collect: (gauge: { set(value: number): void }) => void,
  ): unknown;
}

/** Says and counts what became of a session. */
export function report(
  log: Log,
  clientId: string,
  state: SessionState,
  seen: { up: boolean },
  counters: ReturnType<typeof createCounters>,
): void {
  if (state.is === "up") {
    log.info({ clientId, sessionPresent: state.sessionPresent }, "following the broker");
    if (seen.up && !state.sessionPresent) {
      counters.sessionLost();
      log.error({ clientId }, "the broker has lost our session: what it acknowledged meanwhile may be gone");
    }
    seen.up = true;
  } else if (state.is === "taken-over") {
    counters.takenOver();
    log.error(
      { clientId, why: state.why },
      "another gateway runs with this client id and has taken the session over; standing by: give each its own SLUICE_MQTT_CLIENT_ID",
    );
  } else {
    counters.disconnected();
    log.warn({ clientId, why: state.why }, "no connection to the broker; trying again");
  }
}

/** Counts of one subscriber, `sluice_subscriber_…`. */
export function createCounters(metrics: SubscriberMetrics | undefined, inFlight: () => number) {
  const make = (name: string, help: string) => {
    const counter = metrics?.counter(`subscriber_${name}`, help);
    return (by = 1) => counter?.inc(by);
  };
  metrics?.gauge("subscriber_in_flight", "Messages taken from the broker, not yet durable", [], (gauge) =>
    gauge.set(inFlight()),
  );
  return {
    received: make("messages_total", "Messages taken from the external broker"),
    redelivered: make("redelivered_total", "Messages the broker marked as delivered before"),
    dropped: make("broker_dropped_total", "Messages the broker says it dropped, for any client"),
    unanswered: make("replies_dropped_total", "Application acknowledgements that could not be sent"),
    disconnected: make("disconnects_total", "Connections to the broker that failed or ended"),
    takenOver: make("takeovers_total", "Sessions another client with our id took over"),
    sessionLost: make("sessions_lost_total", "Reconnections at which the broker had forgotten our session"),
  };
}
