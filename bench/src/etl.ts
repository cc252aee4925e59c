import {
  type Db,
  ensurePartitions,
  findRollupProgress,
  holdWatermark,
  markDirty,
  migrate,
  moveRollupMark,
  openDb,
  type Transaction,
  weekOf,
} from "@sluice/db";
import {
  advanceRollups,
  createDailyJob,
  createEngine,
  createHourlyJob,
  runRange,
  SETTLE_MS,
} from "@sluice/etl";
import { startPostgres } from "@sluice/servers";
import { benchE2e, type Progress } from "./e2e.ts";
import { type ProcessCost, readProcessCost } from "./process-cost.ts";

/** What a step took: CPU of PostgreSQL and of this process, per million readings that it is about. */
export interface StepCost {
  seconds: number;
  cpuSeconds: number;
  cpuSecondsPerMillion: number;
}

/** Figures of the rollups and of the tables that are made of them. */
export interface EtlReport {
  readings: number;
  sensors: number;
  /** Text COPY of the same readings, in the order in which they arrive: the reference. */
  copy: StepCost;
  /** 5-minute rows, hours and days. */
  rollup: StepCost & { rows: number };
  /** `bi.hourly_sensor_agg` and `bi.daily_sensor_agg` of the same readings. */
  hourlyJob: StepCost;
  dailyJob: StepCost;
  /** Late readings over the 30 days before; the cost is per million of them. */
  late: StepCost & { readings: number };
  /** CPU seconds that ingest takes for a million readings, from MQTT to committed rows, all processes; same run. */
  ingestCpuSecondsPerMillion?: number;
  /** Rollups, and the hourly job, as shares of that. */
  rollupOfIngest?: number;
  hourlyOfIngest?: number;
}

const START_MS = Date.UTC(2026, 0, 5);
const DAY_MS = 86_400_000;
const SLICE_SECONDS = 60;

/** Loads a second-by-second day, rolls it up, adds late readings, and compares it with what ingest of it costs. */
export async function benchEtl(
  options: { readings: number; sensors: number; late: number; ingestSeconds: number },
  say: Progress,
): Promise<EtlReport> {
  const server = await startPostgres({ settings: { shared_buffers: "512MB", max_wal_size: "4GB" } });
  const report = await measureEtl(server, options, say).finally(() => server.stop());
  if (options.ingestSeconds === 0) return report;
  say(JSON.stringify(report));
  say("ingest, for comparison");
  const { cpuSecondsPerMillion } = await benchE2e(
    { seconds: options.ingestSeconds, halfLoad: 20_000, influx: false },
    say,
  );
  const ingest = Object.values(cpuSecondsPerMillion).reduce((sum, cost) => sum + cost, 0);
  const share = (cost: StepCost) => Number((cost.cpuSecondsPerMillion / ingest).toFixed(4));
  return {
    ...report,
    ingestCpuSecondsPerMillion: ingest,
    rollupOfIngest: share(report.rollup),
    hourlyOfIngest: share(report.hourlyJob),
  };
}

async function measureEtl(
  server: { url: string; pid: number | undefined },
  options: { readings: number; sensors: number; late: number },
  say: Progress,
): Promise<EtlReport> {
  await migrate(server.url);
  const db = await openDb(server.url, { max: 4 });
  const cost = createMeter(server.pid ?? 0);
  try {
    const { sensors, late } = options;
    const seconds = Math.floor(options.readings / sensors);
    const readings = seconds * sensors;
    const ids = await createSensors(db, sensors);
    await ensurePartitions(db, [...weeksBetween(START_MS - 30 * DAY_MS, START_MS + seconds * 1000)]);
    await moveRollupMark(db, START_MS);
    say(`copying ${readings} readings of ${sensors} sensors`);
    const copy = await cost(readings, () => copyReadings(db, ids, seconds));
    say("rolling up");
    const endMs = START_MS + seconds * 1000;
    let rows = 0;
    const rollup = await cost(readings, async () => {
      rows = (await advanceRollups(db, endMs + SETTLE_MS)).forward;
    });
    const jobs = await runJobs(db, readings, endMs, cost);
    say(`${late} late readings over 30 days`);
    await addLate(db, ids, late);
    const repaired = await cost(late, async () => void (await advanceRollups(db, endMs + SETTLE_MS)));
    const { dirty } = await findRollupProgress(db);
    if (dirty > 0) throw new Error(`${dirty} marks were not worked off`);
    return {
      readings,
      sensors,
      copy,
      rollup: { ...rollup, rows },
      ...jobs,
      late: { ...repaired, readings: late },
    };
  } finally {
    await db.close();
  }
}

type Meter = (readings: number, run: () => Promise<void>) => Promise<StepCost>;

function createMeter(pid: number): Meter {
  const cpu = () =>
    cpuOf(readProcessCost(pid)) + process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6;
  return async (readings, run) => {
    const [startMs, startCpu] = [performance.now(), cpu()];
    await run();
    const cpuSeconds = round(cpu() - startCpu);
    const seconds = round((performance.now() - startMs) / 1000);
    return { seconds, cpuSeconds, cpuSecondsPerMillion: round((cpuSeconds / readings) * 1e6) };
  };
}

const cpuOf = ({ cpuSeconds }: ProcessCost) => cpuSeconds;
const round = (value: number) => Number(value.toFixed(3));

async function createSensors(db: Db, count: number): Promise<number[]> {
  await db.execute(
    "INSERT INTO iot.devices (device_code) SELECT 'bench-' || n FROM generate_series(1, $1::int) n",
    [Math.ceil(count / 10)],
  );
  const rows = await db.query<{ id: number }>(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type, sample_interval)
     SELECT d.id, 'f' || n, 'number', INTERVAL '1 second' FROM iot.devices d, generate_series(1, 10) n LIMIT $1 RETURNING id`,
    [count],
  );
  return rows.map(({ id }) => id);
}

function* weeksBetween(fromMs: number, toMs: number): Generator<number> {
  for (let week = weekOf(fromMs * 1000); week <= weekOf(toMs * 1000); week++) yield week;
}

/** As they arrive: second by second, all sensors after one another. */
async function copyReadings(db: Db, ids: readonly number[], seconds: number): Promise<void> {
  for (let from = 0; from < seconds; from += SLICE_SECONDS) {
    const lines: string[] = [];
    for (let second = from; second < Math.min(seconds, from + SLICE_SECONDS); second++) {
      const time = new Date(START_MS + second * 1000).toISOString();
      for (const id of ids) lines.push(`${id}\t${time}\t${20 + ((second * 7 + id * 13) % 100) / 10}\n`);
    }
    await db.transaction(async (tx: Transaction) => {
      await tx.copyIn(
        "COPY public.measurement (sensor_id, time, value) FROM STDIN",
        Buffer.from(lines.join("")),
      );
    });
  }
}

async function runJobs(db: Db, readings: number, nowMs: number, cost: Meter) {
  const engine = createEngine({
    db,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    holder: "bench",
    trigger: "manual",
    now: () => nowMs,
  });
  const range = { fromMs: START_MS, toMs: START_MS + Math.ceil((nowMs - START_MS) / DAY_MS) * DAY_MS };
  const hourlyJob = await cost(readings, async () => void (await runRange(engine, createHourlyJob(), range)));
  const dailyJob = await cost(readings, async () => void (await runRange(engine, createDailyJob(), range)));
  return { hourlyJob, dailyJob };
}

/** One of every sensor at a time, like devices that were offline: marked as their writer marks them. */
async function addLate(db: Db, ids: readonly number[], count: number): Promise<void> {
  const rounds = Math.ceil(count / ids.length);
  for (let round = 0; round < rounds; round++) {
    const atMs = START_MS - Math.floor(((round + 0.5) / rounds) * 30 * DAY_MS);
    const some = ids.slice(0, count - round * ids.length);
    await db.transaction(async (tx) => {
      await holdWatermark(tx);
      await tx.execute(
        "INSERT INTO public.measurement (sensor_id, time, value) SELECT s, $2, 20 FROM unnest($1::int[]) s",
        [some, new Date(atMs)],
      );
      await markDirty(
        tx,
        some.map((sensorId) => ({ sensorId, fromUs: atMs * 1000, toUs: atMs * 1000 })),
      );
    });
  }
}
