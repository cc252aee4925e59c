import { Agent, request } from "node:http";
import { type Db, ensurePartitions, weekOf } from "@sluice/db";
import { advanceRollups } from "@sluice/etl";
import type { Progress } from "./e2e.ts";
import { openSystem, type System } from "./system.ts";

/** Figures of the two things that people ask for most. */
export interface ApiReport {
  readings: number;
  /** Newest values of a device, asked by many at once. */
  latest: RequestFigures;
  /** Thirty days of one sensor as a picture of 1,000 points, one request after the other. */
  chart: RequestFigures;
}

/** How fast requests were, and what they cost: a core of its own would serve `perCoreSecond`. */
export interface RequestFigures {
  requests: number;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** CPU of the api alone, per request. */
  cpuMs: number;
  perCoreSecond: number;
}

const DEVICES = 20;
const FIELDS = 5;
const DAYS = 30;
const DAY_MS = 86_400_000;
const CLIENTS = 16;
const SLICES = 20;

/** Fills 30 days of 100 sensors, rolls them up, and asks the api. */
export async function benchApi(
  options: { readings: number; seconds: number },
  say: Progress,
): Promise<ApiReport> {
  const system = await openSystem(["api"], DEVICES, { SLUICE_RATE_LIMIT: "100000000" });
  try {
    const { db, status, fleet } = system;
    const toMs = Math.floor(Date.now() / 300_000) * 300_000;
    const readings = await fill(db, fleet.devices, options.readings, toMs - DAYS * DAY_MS, toMs, say);
    say("rolling them up");
    while (await advance(db, toMs));
    await db.query("ANALYZE");
    const ask = createAsk(status.httpUrl, await system.createReadKey());
    const device = (n: number) => fleet.devices[n % DEVICES] ?? "";
    say("asking for newest values");
    const latest = await measure(system, CLIENTS, options.seconds, (n) =>
      ask(`/api/v1/devices/${device(n)}/latest`),
    );
    say("asking for charts");
    const from = new Date(toMs - DAYS * DAY_MS).toISOString();
    const chart = await measure(system, 1, options.seconds, (n) =>
      ask(`/api/v1/series?sensor=${device(n)}/f${n % FIELDS}&from=${from}&maxPoints=1000`),
    );
    return { readings, latest, chart };
  } finally {
    await system.close();
  }
}

async function fill(
  db: Db,
  devices: readonly string[],
  readings: number,
  fromMs: number,
  toMs: number,
  say: Progress,
): Promise<number> {
  const weeks = new Set<number>();
  for (let atMs = fromMs; atMs <= toMs; atMs += DAY_MS / 2) weeks.add(weekOf(atMs * 1000));
  await ensurePartitions(db, weeks);
  await db.execute(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type)
     SELECT d.id, 'f' || f, 'number' FROM iot.devices d, generate_series(0, $2::int) f WHERE d.device_code = ANY ($1)`,
    [devices, FIELDS - 1],
  );
  const perSensor = Math.ceil(readings / (DEVICES * FIELDS));
  const stepMs = (toMs - fromMs) / perSensor;
  const perSlice = Math.ceil(perSensor / SLICES);
  let filled = 0;
  for (let slice = 0; slice < SLICES; slice++) {
    filled += await db.execute(
      `INSERT INTO public.measurement (time, sensor_id, value)
       SELECT to_timestamp(($1::float8 + n * $2::float8) / 1000), s.id, 20 + 5 * sin(n / 500.0) + random()
         FROM generate_series($3::int, $4::int) n, iot.sensors s ORDER BY n, s.id`,
      [fromMs, stepMs, slice * perSlice, Math.min(perSensor, (slice + 1) * perSlice) - 1],
    );
    say(`${filled.toLocaleString("en")} readings`);
  }
  return filled;
}

async function advance(db: Db, toMs: number): Promise<boolean> {
  const { forward, repaired } = await advanceRollups(db, toMs + 600_000, new AbortController().signal);
  return forward + repaired > 0;
}

type Ask = (path: string) => Promise<void>;

function createAsk(httpUrl: string, key: string): Ask {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  return (path) =>
    new Promise((resolve, reject) => {
      const outgoing = request(new URL(path, httpUrl), { agent, headers: { "x-api-key": key } }, (answer) => {
        answer.resume();
        answer.once("end", () =>
          answer.statusCode === 200 ? resolve() : reject(new Error(`${path}: ${answer.statusCode}`)),
        );
      });
      outgoing.once("error", reject);
      outgoing.end();
    });
}

async function measure(
  system: System,
  clients: number,
  seconds: number,
  ask: (n: number) => Promise<void>,
): Promise<RequestFigures> {
  for (let n = 0; n < 200; n++) await ask(n);
  const cpu = () => system.costs().api?.cpuSeconds ?? 0;
  const latencies: number[] = [];
  const before = cpu();
  const started = performance.now();
  const endMs = started + seconds * 1000;
  let n = 0;
  const client = async () => {
    while (performance.now() < endMs) {
      const at = performance.now();
      await ask(n++);
      latencies.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  const elapsed = (performance.now() - started) / 1000;
  const cpuMs = ((cpu() - before) * 1000) / latencies.length;
  latencies.sort((a, b) => a - b);
  const at = (share: number) => Number((latencies[Math.floor(latencies.length * share)] ?? 0).toFixed(1));
  return {
    requests: latencies.length,
    perSecond: Math.round(latencies.length / elapsed),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    cpuMs: Number(cpuMs.toFixed(3)),
    perCoreSecond: Math.round(1000 / cpuMs),
  };
}
