import { createPublish, openPublisher, type PublishPacket } from "./publisher.ts";
import type { System } from "./system.ts";

/** How long a message took from its PUBLISH until its row could be read, committed, by another connection. */
export interface ProbeReport {
  p50Ms: number;
  p99Ms: number;
  probes: number;
}

const POLL_MS = 1;
/** Of its age so far; the longer one waits, the less often is asked, or asking would be what it waits for. */
const POLL_SHARE = 0.02;

/**
 * Publishes `perSecond` messages a second for `seconds` on a connection of its own, each with its own time, and
 * polls PostgreSQL, one query at a time for all that are on their way. The poll makes a latency up to a millisecond,
 * or a fiftieth, and a query too high.
 */
export async function probeLatency(system: System, perSecond: number, seconds: number): Promise<ProbeReport> {
  const device = system.fleet.devices[0] ?? "";
  const topic = `iotflow/devices/${device}/telemetry/probe`;
  const publisher = await openProbePublisher(system, topic);
  const sensorId = await registerProbe(system, publisher.publish);
  const latencies: number[] = [];
  /** When each was published, by its time in microseconds. */
  const underWay = new Map<number, number>();
  const endMs = performance.now() + seconds * 1000;
  const publishing = (async () => {
    while (performance.now() < endMs) {
      const timeUs = Date.now() * 1000;
      underWay.set(timeUs, performance.now());
      publisher.publish(`{"probe":1,"ts":${timeUs}}`);
      await pause(1000 / perSecond);
    }
  })();
  while (performance.now() < endMs || underWay.size > 0) {
    const [oldestMs = performance.now()] = underWay.values();
    await pause(Math.max(POLL_MS, (performance.now() - oldestMs) * POLL_SHARE));
    if (underWay.size === 0) continue;
    for (const timeUs of await findStored(system, sensorId, [...underWay.keys()])) {
      latencies.push(performance.now() - (underWay.get(timeUs) ?? 0));
      underWay.delete(timeUs);
    }
  }
  await publishing;
  await publisher.close();
  latencies.sort((a, b) => a - b);
  const at = (q: number) => Math.round((latencies[Math.floor(latencies.length * q)] ?? 0) * 10) / 10;
  return { p50Ms: at(0.5), p99Ms: at(0.99), probes: latencies.length };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function openProbePublisher(system: System, topic: string) {
  const packets: PublishPacket[] = [];
  const publisher = await openPublisher({
    ...system.fleet,
    ...system.broker,
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

/** Those of `timesUs` that have a row. */
async function findStored({ db }: System, sensorId: number, timesUs: readonly number[]): Promise<number[]> {
  const rows = await db.query<{ us: number }>(
    `select (extract(epoch from time) * 1000000)::int8 as us from measurement
      where sensor_id = $1 and time = any(array(select to_timestamp(us / 1000000.0) from unnest($2::int8[]) us))`,
    [sensorId, timesUs],
  );
  return rows.map(({ us }) => us);
}
