import { costPerMillion, type Progress, readLedger, untilDrained } from "./e2e.ts";
import { createPayload, READINGS_PER_MESSAGE } from "./payload.ts";
import { openSystem } from "./system.ts";

/** Figures of batches posted over HTTP. */
export interface HttpReport {
  readingsPerSecond: number;
  requestP99Ms: number;
  cpuSecondsPerMillion: Record<string, number>;
  ledger: { balanced: boolean; accepted: number; stored: number };
}

const BATCH = 200;
const CLIENTS = 8;

/** Posts batches of 200 samples, each of which is one message, from 8 clients at once for `seconds`. */
export async function benchHttp(options: { seconds: number }, say: Progress): Promise<HttpReport> {
  const system = await openSystem(["ingest-gateway", "stream-worker"], 1000, { SLUICE_SINKS: "postgres" });
  try {
    const posters: Poster[] = [];
    for (let c = 0; c < CLIENTS; c++)
      posters.push({ id: `poster_${c}`, key: await system.createKey(`poster_${c}`) });
    const before = system.costs();
    say(`posting batches of ${BATCH} for ${options.seconds} s`);
    const started = performance.now();
    const latencies: number[] = [];
    const endMs = started + options.seconds * 1000;
    await Promise.all(posters.map((poster) => postUntil(endMs, system.status.httpUrl, poster, latencies)));
    await untilDrained(system);
    const readings = latencies.length * BATCH * READINGS_PER_MESSAGE;
    const elapsed = (performance.now() - started) / 1000;
    latencies.sort((a, b) => a - b);
    return {
      readingsPerSecond: Math.round(readings / elapsed),
      requestP99Ms: Math.round(latencies[Math.floor(latencies.length * 0.99)] ?? 0),
      cpuSecondsPerMillion: costPerMillion(before, system.costs(), readings),
      ledger: await readLedger(system),
    };
  } finally {
    await system.close();
  }
}

async function postUntil(endMs: number, httpUrl: string, device: Poster, latencies: number[]): Promise<void> {
  // A day ago, and a millisecond apart: no two of a device's samples at one time, none of them in the future.
  let ts = Date.now() - 86_400_000;
  while (performance.now() < endMs) {
    const samples = Array.from({ length: BATCH }, (_, i) => ({
      ...(JSON.parse(createPayload(device.id, i % 8)) as object),
      ts: ts++,
    }));
    const started = performance.now();
    const response = await fetch(new URL("/api/v1/ingest", httpUrl), {
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": device.key },
      body: JSON.stringify(samples),
    });
    if (!response.ok) throw new Error(`POST answered ${response.status}: ${await response.text()}`);
    await response.arrayBuffer();
    latencies.push(performance.now() - started);
  }
}

interface Poster {
  id: string;
  key: string;
}
