import {
  DEFAULT_CLOCK_POLICY,
  encodeMessage,
  partitionOf,
  resolveTime,
  streamKey,
} from "@sluice/shared-types";
import { costPerMillion, type Progress, readLedger, storedMessages, untilDrained } from "./e2e.ts";
import { createPayload, READINGS_PER_MESSAGE } from "./payload.ts";
import { openSystem } from "./system.ts";

/** Figures of draining a backlog that was appended while no worker ran. */
export interface DrainReport {
  messages: number;
  readingsPerSecond: number;
  cpuSecondsPerMillion: Record<string, number>;
  peakRssMb: Record<string, number>;
  ledger: { balanced: boolean; accepted: number; stored: number };
}

const PACK = 1000;

/** Which sink drains. */
export interface DrainedSink {
  service: string;
  group: string;
}

/** PostgreSQL alone. */
export const POSTGRES: DrainedSink = { service: "stream-worker", group: "postgres" };
/** InfluxDB, after PostgreSQL has everything. */
export const INFLUX: DrainedSink = { service: "influx-writer", group: "influx" };

/** Appends `messages` to the bus while the sink's service is stopped, then lets it go and times the drain. */
export async function benchDrain(
  sink: DrainedSink,
  options: { messages: number },
  say: Progress,
): Promise<DrainReport> {
  const services = ["ingest-gateway", ...new Set(["stream-worker", sink.service])];
  const system = await openSystem(services, 1000, {
    SLUICE_SINKS: [...new Set(["postgres", sink.group])].join(","),
    SLUICE_REDIS_MAXMEMORY: "4gb",
  });
  try {
    const worker = system.status.services.find((service) => service.name === sink.service);
    if (!worker) throw new Error(`${sink.service} does not run`);
    process.kill(worker.pid, "SIGSTOP");
    say(`appending ${options.messages} messages`);
    await appendBacklog(system.bus.publish, system.fleet.devices, options.messages);
    if (sink.group !== "postgres") await untilDrained(system, "postgres");
    const before = system.costs();
    const storedBefore = await storedMessages(system, sink.group);
    say("draining");
    const started = performance.now();
    process.kill(worker.pid, "SIGCONT");
    await untilDrained(system);
    const elapsed = (performance.now() - started) / 1000;
    const readings = ((await storedMessages(system, sink.group)) - storedBefore) * READINGS_PER_MESSAGE;
    const after = system.costs();
    return {
      messages: options.messages,
      readingsPerSecond: Math.round(readings / elapsed),
      cpuSecondsPerMillion: costPerMillion(before, after, readings),
      peakRssMb: Object.fromEntries(Object.entries(after).map(([name, cost]) => [name, cost.peakRssMb])),
      ledger: await readLedger(system),
    };
  } finally {
    await system.close();
  }
}

/** Appends `count` messages of `devices`, each to the partition of its device. */
export async function appendBacklog(
  publish: (stream: string, messages: readonly string[]) => Promise<string[]>,
  devices: readonly string[],
  count: number,
  partitions = 1,
): Promise<void> {
  const startUs = Date.now() * 1000 - count;
  for (let from = 0; from < count; from += PACK) {
    const packs = Array.from({ length: partitions }, (): string[] => []);
    for (let i = from; i < Math.min(count, from + PACK); i++) {
      const device = devices[i % devices.length] ?? "";
      const receivedUs = startUs + i;
      const { timeUs, clock } = resolveTime({}, receivedUs, DEFAULT_CLOCK_POLICY);
      const envelope = {
        device,
        kind: "telemetry",
        type: "sensors",
        source: "mqtt",
        receivedUs,
        timesUs: [timeUs],
        clock,
      } as const;
      packs[partitionOf(device, partitions)]?.push(encodeMessage(envelope, createPayload(device, i % 8)));
    }
    await Promise.all(packs.map((pack, partition) => publish(streamKey("telemetry", partition), pack)));
  }
}
