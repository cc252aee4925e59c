import { fileURLToPath } from "node:url";
import { type Db, float8Array, int4Array, migrate, openDb, putMachine } from "@sluice/db";
import {
  createEngine,
  createMachineStores,
  listLoggedMachines,
  MACHINE_SCRIPTS,
  runMachines,
} from "@sluice/etl";
import { createSimulatedDevices, readPack } from "@sluice/packs";
import { startPostgres } from "@sluice/servers";
import type { Progress } from "./e2e.ts";
import { readProcessCost } from "./process-cost.ts";

/** Figures of aggregating the log of one machine. */
export interface MachinesReport {
  rows: number;
  days: number;
  /** Seconds of each job over everything, and over everything once more. */
  seconds: Record<string, number>;
  secondsAgain: Record<string, number>;
  totalSeconds: number;
  totalSecondsAgain: number;
  /** CPU of the first time, this process and PostgreSQL together. */
  cpuSeconds: number;
  /** Rows that the second time inserted or changed. */
  changedAgain: number;
  /** Largest memory of this process, which runs the jobs. */
  peakRssMb: number;
}

const PACK = fileURLToPath(new URL("../../packs/machines", import.meta.url));
const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2025, 0, 1);
/** The machine of the pack, looked at this often, makes 10 million changes in a year. */
const EVERY_MS = 5000;
const BATCH = 50_000;

/** A simulated machine fills the document's source database; the five jobs aggregate it, twice. */
export async function benchMachines(options: { days: number }, say: Progress): Promise<MachinesReport> {
  const server = await startPostgres({ settings: { shared_buffers: "256MB" } });
  const own = await openDb(await createOwn(server.url), { max: 4 });
  const source = await openDb(await createSource(server.url), { max: 2 });
  const { hostname, port, username, password } = new URL(server.url);
  const stores = createMachineStores({
    DB_HOST: hostname,
    DB_PORT: Number(port),
    DB_USER: decodeURIComponent(username),
    DB_PASSWORD: decodeURIComponent(password),
    DB_NAME: "machine_source",
  });
  try {
    say(`simulating ${options.days} days`);
    const rows = await fillSource(source, options.days);
    say(`${rows} rows`);
    await putMachine(own, { machineId: "machine-1", name: "simulated" });
    const before = readProcessCost(process.pid).cpuSeconds;
    const first = await runAll(own, stores, say);
    const cpuSeconds = Math.round(readProcessCost(process.pid).cpuSeconds - before);
    const again = await runAll(own, stores, say);
    return {
      rows,
      days: options.days,
      seconds: first.seconds,
      secondsAgain: again.seconds,
      totalSeconds: sum(first.seconds),
      totalSecondsAgain: sum(again.seconds),
      cpuSeconds,
      changedAgain: again.changed,
      peakRssMb: Math.round(process.resourceUsage().maxRSS / 1024),
    };
  } finally {
    await stores.close();
    await source.close();
    await own.close();
    await server.stop();
  }
}

async function createOwn(url: string): Promise<string> {
  await createDatabase(url, "machine_own");
  const own = named(url, "machine_own");
  await migrate(own);
  return own;
}

async function createSource(url: string): Promise<string> {
  await createDatabase(url, "machine_source");
  const source = named(url, "machine_source");
  const db = await openDb(source, { max: 1 });
  await db.query(`
    CREATE TABLE variable (id INTEGER PRIMARY KEY, name TEXT NOT NULL, datatype TEXT NOT NULL);
    CREATE TABLE variable_log_float (id_var INTEGER NOT NULL, date BIGINT NOT NULL, value REAL);
    CREATE TABLE variable_log_string (id_var INTEGER NOT NULL, date BIGINT NOT NULL, value TEXT)`);
  await db.close();
  return source;
}

async function createDatabase(url: string, name: string): Promise<void> {
  const db = await openDb(url, { max: 1 });
  await db.query(`CREATE DATABASE ${name}`);
  await db.close();
}

function named(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

/** Writes what the machine of the pack logs in so many days; resolves with the number of rows. */
async function fillSource(db: Db, days: number): Promise<number> {
  const { simulator } = await readPack(PACK);
  const [machine] = createSimulatedDevices(simulator.devices, 1);
  if (!machine) throw new Error("the pack has no machine");
  const names = Object.keys(machine.model.fields);
  await db.execute(
    "INSERT INTO variable SELECT n, name, 'java.lang.Float' FROM unnest($1::text[]) WITH ORDINALITY v (name, n)",
    [names],
  );
  const ids = new Map(names.map((name, i) => [name, i + 1]));
  let rows = 0;
  const floats = { ids: [] as number[], dates: [] as number[], values: [] as (number | null)[] };
  const flush = async () => {
    rows += floats.ids.length;
    await db.execute(
      `INSERT INTO variable_log_float
       SELECT id, at::bigint, coalesce(value, 'NaN') FROM unnest($1::int[], $2::float8[], $3::float8[]) l (id, at, value)`,
      [
        int4Array(floats.ids),
        float8Array(floats.dates),
        float8Array(floats.values.map((value) => value ?? Number.NaN)),
      ],
    );
    for (const list of Object.values(floats)) list.length = 0;
  };
  const texts: [number, number, string][] = [];
  for (let atMs = START_MS; atMs < START_MS + days * DAY_MS; atMs += EVERY_MS) {
    for (const [name, value] of Object.entries(machine.read(atMs))) {
      const id = ids.get(name) ?? 0;
      if (name === "ALARMS") texts.push([id, atMs, String(value ?? "NaN")]);
      else {
        floats.ids.push(id);
        floats.dates.push(atMs);
        floats.values.push(value === null ? null : Number(value));
      }
    }
    if (floats.ids.length >= BATCH) await flush();
  }
  await flush();
  await db.execute(
    "INSERT INTO variable_log_string SELECT * FROM unnest($1::int[], $2::bigint[], $3::text[])",
    [texts.map(([id]) => id), texts.map(([, at]) => at), texts.map(([, , text]) => text)],
  );
  await db.query(
    "CREATE INDEX ON variable_log_float (id_var, date); CREATE INDEX ON variable_log_string (id_var, date)",
  );
  await db.query("VACUUM ANALYZE variable_log_float, variable_log_string");
  return rows + texts.length;
}

async function runAll(
  db: Db,
  stores: ReturnType<typeof createMachineStores>,
  say: Progress,
): Promise<{ seconds: Record<string, number>; changed: number }> {
  const seconds: Record<string, number> = {};
  let changed = 0;
  for (const script of MACHINE_SCRIPTS) {
    const started = performance.now();
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const engine = createEngine({ db, log, holder: "bench", trigger: "manual" });
    const machines = await listLoggedMachines(db, stores);
    for (const result of await runMachines(engine, { scripts: [script], machines, extent: "everything" })) {
      if (result.failed.length + result.busy > 0)
        throw new Error(`${script.name}: ${JSON.stringify(result.failed)}`);
      changed += result.changed;
      say(`${result.job}: ${result.rows} rows, ${result.changed} inserted or changed`);
    }
    seconds[script.name] = Math.round((performance.now() - started) / 100) / 10;
  }
  return { seconds, changed };
}

const sum = (seconds: Record<string, number>) =>
  Math.round(Object.values(seconds).reduce((total, one) => total + one, 0) * 10) / 10;
