import { setTimeout as delay } from "node:timers/promises";
import { createTopics } from "@sluice/shared-types";
import type { DeliveryLedger } from "../fleet/delivery-ledger.ts";
import type { Fleet } from "../fleet/open-fleet.ts";
import { createLatencies } from "./latency.ts";

/** What to simulate. */
export interface SimulationOptions {
  devices: readonly string[];
  /** Readings of a device, by its number, at an instant; without any it sends nothing then. */
  read(device: number, timeMs: number): Record<string, number | string | null>;
  /** Messages per second of the whole fleet. */
  rate: number;
  seconds: number;
  /** Names this run: with `seq` it identifies a message of a device. */
  boot: string;
  topicRoot: string;
  /** How long to wait for outstanding acknowledgements at the end. */
  drainMs: number;
  signal: AbortSignal;
  ledger?: DeliveryLedger;
  onProgress?: (report: SimulationReport) => void;
}

/** What became of a simulated fleet's messages. */
export interface SimulationReport {
  devices: number;
  boot: string;
  seconds: number;
  /** Handed to MQTT, whether or not they arrived. */
  sent: number;
  readings: number;
  acknowledged: number;
  unacknowledged: number;
  /** Acknowledged messages per second while sending. */
  rate: number;
  /** Messages that fell short of the wanted rate because too many were outstanding. */
  notSent: number;
  connectionLosses: number;
  lastError: string | null;
  /** From first publish to PUBACK, losses of the connection included. */
  latencyMs: { p50: number | null; p99: number | null; max: number | null };
}

const TICK_MS = 20;
const PROGRESS_MS = 1000;
const MAX_OUTSTANDING = 200_000;

/**
 * Runs a fleet: every device sends in turn, with its own increasing timestamps and sequence numbers. Resolves
 * when the time is over and every message is acknowledged, or `drainMs` later, or when `signal` aborts.
 */
export async function runSimulation(fleet: Fleet, options: SimulationOptions): Promise<SimulationReport> {
  const topics = createTopics(options.topicRoot);
  const senders = options.devices.map((id) => ({
    id,
    topic: topics.telemetry(id, "sensors"),
    seq: 0,
    lastMs: 0,
  }));
  const latencies = createLatencies();
  const total = Math.round(options.rate * options.seconds);
  const startMs = performance.now();
  const counts = { turns: 0, sent: 0, readings: 0, acknowledged: 0, acknowledgedInTime: 0, sendingMs: 0 };

  const send = () => {
    const index = counts.turns++ % senders.length;
    const sender = senders[index];
    if (!sender) return;
    // strictly increasing: two readings of one instant would be one reading
    const timeMs = Math.max(Date.now(), sender.lastMs + 1);
    sender.lastMs = timeMs;
    const readings = options.read(index, timeMs);
    if (Object.keys(readings).length === 0) return;
    const seq = ++sender.seq;
    const payload = JSON.stringify({
      ts: new Date(timeMs).toISOString(),
      boot: options.boot,
      seq,
      ...readings,
    });
    const sentMs = performance.now();
    counts.sent++;
    counts.readings += Object.keys(readings).length;
    fleet.publish(index, sender.topic, payload, () => {
      counts.acknowledged++;
      if (counts.sendingMs === 0) counts.acknowledgedInTime++;
      latencies.add(performance.now() - sentMs);
      options.ledger?.acknowledged(sender.id, options.boot, seq);
    });
  };

  const report = (): SimulationReport => {
    const elapsedMs = counts.sendingMs || performance.now() - startMs;
    const { count, lastError } = fleet.losses();
    const due = Math.min(total, Math.floor((elapsedMs / 1000) * options.rate));
    return {
      devices: senders.length,
      boot: options.boot,
      seconds: Math.round(elapsedMs) / 1000,
      sent: counts.sent,
      readings: counts.readings,
      acknowledged: counts.acknowledged,
      unacknowledged: counts.sent - counts.acknowledged,
      rate: Math.round((counts.acknowledgedInTime / Math.max(elapsedMs, 1)) * 10_000) / 10,
      notSent: Math.max(0, due - counts.turns),
      connectionLosses: count,
      lastError,
      latencyMs: { p50: latencies.percentile(0.5), p99: latencies.percentile(0.99), max: latencies.max() },
    };
  };

  await sendAll({ ...options, total, startMs, send, report, fleet, turns: () => counts.turns });
  counts.sendingMs = performance.now() - startMs;
  await drain(fleet, options, report);
  return report();
}

interface Sending extends SimulationOptions {
  total: number;
  startMs: number;
  fleet: Fleet;
  send(): void;
  turns(): number;
  report(): SimulationReport;
}

async function sendAll(run: Sending): Promise<void> {
  let progressMs = run.startMs;
  for (;;) {
    const nowMs = performance.now();
    const elapsedMs = nowMs - run.startMs;
    const due = Math.min(run.total, Math.floor((elapsedMs / 1000) * run.rate) + 1);
    while (run.turns() < due && run.fleet.unacknowledged() < MAX_OUTSTANDING && !run.signal.aborted)
      run.send();
    // After what is due: a tick that comes late is made up for.
    if (run.signal.aborted || run.turns() >= run.total || elapsedMs >= run.seconds * 1000) return;
    if (nowMs - progressMs >= PROGRESS_MS) {
      progressMs = nowMs;
      run.onProgress?.(run.report());
    }
    await delay(TICK_MS);
  }
}

async function drain(
  fleet: Fleet,
  options: SimulationOptions,
  report: () => SimulationReport,
): Promise<void> {
  const untilMs =
    performance.now() + (options.signal.aborted ? Math.min(2000, options.drainMs) : options.drainMs);
  let progressMs = performance.now();
  while (fleet.unacknowledged() > 0 && performance.now() < untilMs) {
    if (performance.now() - progressMs >= PROGRESS_MS) {
      progressMs = performance.now();
      options.onProgress?.(report());
    }
    await delay(TICK_MS);
  }
}
