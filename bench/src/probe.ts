import { createPublish, openPublisher, type PublishPacket } from "./publisher.ts";
import type { System } from "./system.ts";

/** How long a message took from its PUBLISH until its row could be read, committed, by another connection. */
export interface ProbeReport {
  p50Ms: number;
  p99Ms: number;
  probes: number;
}

const POLL_MS = 1;

/**
 * Publishes `perSecond` messages a second for `seconds` on a connection of its own, each with its own time, and
 * polls PostgreSQL for each until it is there. The poll makes the figure up to a millisecond and a query too high.
 */
export async function probeLatency(system: System, perSecond: number, seconds: number): Promise<ProbeReport> {
  const device = system.fleet.devices[0] ?? "";
  const topic = `iotflow/devices/${device}/telemetry/probe`;
  const publisher = await openProbePublisher(system, topic);
  const sensorId = await registerProbe(system, publisher.publish);
  const latencies: number[] = [];
  const ended = performance.now() + seconds * 1000;
  const waiting: Promise<void>[] = [];
  while (performance.now() < ended) {
    const started = performance.now();
    const timeUs = Date.now() * 1000;
    publisher.publish(`{"probe":1,"ts":${timeUs}}`);
    waiting.push(
      untilStored(system, sensorId, timeUs).then(() => void latencies.push(performance.now() - started)),
    );
    await pause(1000 / perSecond);
  }
  await Promise.all(waiting);
  await publisher.close();
  latencies.sort((a, b) => a - b);
  const at = (q: number) => Math.round((latencies[Math.floor(latencies.length * q)] ?? 0) * 10) / 10;
  return { p50Ms: at(0.5), p99Ms: at(0.99), probes: latencies.length };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function openProbePublisher(system: System, topic: string) {
  const { hostname, port } = new URL(system.status.mqttUrl);
  const packets: PublishPacket[] = [];
  const publisher = await openPublisher({
    ...system.fleet,
    host: hostname,
    port: Number(port),
    clientId: `probe-${process.pid}-${Date.now()}`,
    packets,
    window: 1000,
    onAck: () => {},
    onClose: () => {},
  });
  return {
    publish: (payload: string) => {
      packets[0] = createPublish(topic, payload);
      publisher.send(1);
    },
    close: () => publisher.close(),
  };
}

async function registerProbe({ db }: System, publish: (payload: string) => void): Promise<number> {
  publish(`{"probe":0,"ts":${Date.now()}}`);
  for (;;) {
    const [row] = await db.query<{ id: number }>("select id from iot.sensors where sensor_code = 'probe'");
    if (row) return row.id;
    await pause(20);
  }
}

async function untilStored({ db }: System, sensorId: number, timeUs: number): Promise<void> {
  const time = new Date(timeUs / 1000).toISOString();
  for (;;) {
    const rows = await db.query("select 1 from measurement where sensor_id = $1 and time = $2", [
      sensorId,
      time,
    ]);
    if (rows.length > 0) return;
    await pause(POLL_MS);
  }
}
