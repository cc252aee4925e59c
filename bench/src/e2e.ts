import { streamKey } from "@sluice/shared-types";
import { type Ceilings, measureCeilings } from "./ceilings.ts";
import { READINGS_PER_MESSAGE } from "./payload.ts";
import { probeLatency } from "./probe.ts";
import { type ProcessCost, watchStolen } from "./process-cost.ts";
import { openSystem, type System } from "./system.ts";

/** Figures of one end-to-end run: MQTT QoS 1 into the built-in broker, out of it committed rows. */
export interface E2eReport {
  readingsPerSecond: number;
  /** CPU seconds per million readings, by process. */
  cpuSecondsPerMillion: Record<string, number>;
  peakRssMb: Record<string, number>;
  /** The same cost at half load, where batches are small. */
  halfLoadCpuSecondsPerMillion: Record<string, number>;
  /** Publish to committed, at half load. */
  p50Ms: number;
  p99Ms: number;
  pubackP99Ms: number;
  /** Publish to committed, at ten messages a second. */
  idleP99Ms: number;
  /** Of the machine's CPU time, what its host gave to others meanwhile: it is in every latency. */
  stolenPercent: { fullSpeed: number; halfLoad: number; idle: number };
  ledger: { balanced: boolean; accepted: number; stored: number };
  ceilings: Ceilings;
}

/** Where a run stands, for people who wait. */
export type Progress = (text: string) => void;

const DEVICES = 1000;
const CONNECTIONS = 50;

/** Runs the headline case with `groups` of sinks for `seconds` at full speed, then at `halfLoad` readings a second. */
export async function benchE2e(
  options: { seconds: number; halfLoad: number; influx: boolean },
  say: Progress,
): Promise<E2eReport> {
  const services = ["ingest-gateway", "stream-worker", ...(options.influx ? ["influx-writer"] : [])];
  say(`starting ${services.join(", ")}`);
  const system = await openSystem(services, DEVICES, {
    SLUICE_SINKS: options.influx ? "postgres,influx" : "postgres",
  });
  try {
    say("warming up");
    await system.load({ connections: CONNECTIONS, seconds: 5, window: 64 });
    await untilDrained(system);
    say(`full speed for ${options.seconds} s`);
    const stolenAtFullSpeed = watchStolen();
    const full = await measureFull(system, options.seconds);
    const fullSpeed = stolenAtFullSpeed();
    say(`${full.readingsPerSecond} readings/s; ${options.halfLoad} readings/s for latency`);
    const stolenAtHalfLoad = watchStolen();
    const before = { costs: system.costs(), messages: await storedMessages(system) };
    const [paced, loaded] = await Promise.all([
      system.load({
        connections: CONNECTIONS,
        seconds: 20,
        window: 400,
        rate: options.halfLoad / READINGS_PER_MESSAGE,
      }),
      new Promise((resolve) => setTimeout(resolve, 3000)).then(() => probeLatency(system, 20, 15)),
    ]);
    const halfLoad = stolenAtHalfLoad();
    await untilDrained(system);
    const halfLoadReadings = ((await storedMessages(system)) - before.messages) * READINGS_PER_MESSAGE;
    const halfLoadCosts = costPerMillion(before.costs, system.costs(), halfLoadReadings);
    say("ten messages a second");
    const stolenAtIdle = watchStolen();
    const idle = await probeLatency(system, 10, 15);
    const whileIdle = stolenAtIdle();
    say("ceilings of the servers alone");
    const ceilings = await measureCeilings(system);
    return {
      ...full,
      halfLoadCpuSecondsPerMillion: halfLoadCosts,
      p50Ms: loaded.p50Ms,
      p99Ms: loaded.p99Ms,
      pubackP99Ms: paced.pubackP99Ms,
      idleP99Ms: idle.p99Ms,
      stolenPercent: { fullSpeed, halfLoad, idle: whileIdle },
      ceilings,
      ledger: await readLedger(system),
    };
  } finally {
    await system.close();
  }
}

async function measureFull(system: System, seconds: number) {
  const before = system.costs();
  const storedBefore = await storedMessages(system);
  const started = performance.now();
  await system.load({ connections: CONNECTIONS, seconds, window: 64 });
  await untilDrained(system);
  const elapsed = (performance.now() - started) / 1000;
  const readings = ((await storedMessages(system)) - storedBefore) * READINGS_PER_MESSAGE;
  const after = system.costs();
  return {
    readingsPerSecond: Math.round(readings / elapsed),
    cpuSecondsPerMillion: costPerMillion(before, after, readings),
    peakRssMb: Object.fromEntries(Object.entries(after).map(([name, cost]) => [name, cost.peakRssMb])),
  };
}

/** CPU seconds per million readings between two looks at the processes, with their total. */
export function costPerMillion(
  before: Record<string, ProcessCost>,
  after: Record<string, ProcessCost>,
  readings: number,
): Record<string, number> {
  const result: Record<string, number> = {};
  let total = 0;
  for (const [name, cost] of Object.entries(after)) {
    const seconds = (cost.cpuSeconds - (before[name]?.cpuSeconds ?? 0)) / (readings / 1e6);
    result[name] = Math.round(seconds * 100) / 100;
    total += seconds;
  }
  return { ...result, total: Math.round(total * 100) / 100 };
}

async function groupLedger(system: System, name: string) {
  const group = (await system.bus.ledger(streamKey("telemetry"))).find((one) => one.group === name);
  if (!group) throw new Error(`the telemetry stream has no group ${name}`);
  return group;
}

/** Messages a group has stored. */
export async function storedMessages(system: System, group = "postgres"): Promise<number> {
  return (await groupLedger(system, group)).stored;
}

/** Resolves once every group, or the one named, has acknowledged everything. */
export async function untilDrained(system: System, only?: string): Promise<void> {
  for (;;) {
    const groups = await system.bus.ledger(streamKey("telemetry"));
    const asked = groups.filter(({ group }) => only === undefined || group === only);
    if (asked.every((group) => group.pending + group.unread === 0)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The balance over all groups. */
export async function readLedger(system: System) {
  const groups = await system.bus.ledger(streamKey("telemetry"));
  const { accepted, stored } = await groupLedger(system, "postgres");
  return { balanced: groups.every((group) => group.balanced), accepted, stored };
}
