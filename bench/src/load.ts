/**
 * The load generator process: 1,000 devices on 50 connections publish the JSON of source system A (7 readings) at
 * QoS 1, either as fast as acknowledgements allow or at a fixed rate. Options come as JSON in the first argument;
 * the report goes to standard output as one JSON line.
 */
import { createPayload, VARIANTS } from "./payload.ts";
import { createPublish, openPublisher, type Publisher } from "./publisher.ts";

/** What the load generator is told. */
export interface LoadOptions {
  host: string;
  port: number;
  username: string;
  password: string;
  devices: readonly string[];
  connections: number;
  seconds: number;
  /** Messages a second over all connections; absent: as fast as possible. */
  rate?: number;
  /** Stop after so many messages, whatever the time. */
  messages?: number;
  /** Unacknowledged messages per connection. */
  window: number;
}

/** What it reports. */
export interface LoadReport {
  sent: number;
  acknowledged: number;
  seconds: number;
  pubackP50Ms: number;
  pubackP99Ms: number;
  disconnected: number;
}

async function run(options: LoadOptions): Promise<LoadReport> {
  const latencies = new Uint32Array(60_001); // tenths of a millisecond
  let acknowledged = 0;
  let disconnected = 0;
  let sent = 0;
  const publishers: Publisher[] = [];
  for (let c = 0; c < options.connections; c++) {
    const own = options.devices.filter((_, i) => i % options.connections === c);
    const packets = Array.from({ length: VARIANTS }, (_, n) =>
      own.map((device) =>
        createPublish(`iotflow/devices/${device}/telemetry/sensors`, createPayload(device, n)),
      ),
    ).flat();
    publishers.push(
      await openPublisher({
        ...options,
        clientId: `load-${process.pid}-${c}`,
        packets,
        onAck: (latencyMs) => {
          acknowledged++;
          const bucket = Math.min(60_000, Math.round(latencyMs * 10));
          latencies[bucket] = (latencies[bucket] ?? 0) + 1;
        },
        onClose: () => disconnected++,
      }),
    );
  }
  const started = performance.now();
  const limit = options.messages ?? Number.POSITIVE_INFINITY;
  let turn = 0;
  while (performance.now() - started < options.seconds * 1000 && sent < limit && disconnected === 0) {
    const due =
      options.rate === undefined
        ? limit
        : Math.min(limit, (options.rate * (performance.now() - started)) / 1000);
    if (options.rate === undefined)
      for (const p of publishers) sent += p.send(Math.min(limit - sent, options.window));
    else {
      const batch = Math.floor(due - sent);
      const share = Math.max(1, Math.ceil(batch / publishers.length));
      for (let left = batch, i = 0; left > 0 && i < publishers.length; i++, turn++) {
        const done = publishers[turn % publishers.length]?.send(Math.min(share, left)) ?? 0;
        sent += done;
        left -= done;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const seconds = (performance.now() - started) / 1000;
  const giveUp = performance.now() + 30_000;
  while (acknowledged < sent && performance.now() < giveUp && disconnected === 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const ended = disconnected;
  await Promise.all(publishers.map((p) => p.close()));
  return {
    sent,
    acknowledged,
    seconds,
    pubackP50Ms: percentile(latencies, 0.5),
    pubackP99Ms: percentile(latencies, 0.99),
    disconnected: ended,
  };
}

function percentile(buckets: Uint32Array, q: number): number {
  const total = buckets.reduce((sum, n) => sum + n, 0);
  let seen = 0;
  for (let i = 0; i < buckets.length; i++) {
    seen += buckets[i] ?? 0;
    if (seen >= total * q) return i / 10;
  }
  return 0;
}

process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2] ?? "") as LoadOptions))}\n`);
