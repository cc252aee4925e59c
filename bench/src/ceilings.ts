import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { System } from "./system.ts";

const run = promisify(execFile);

/** What the servers alone can do on this machine: every result is to be read against these. */
export interface Ceilings {
  /** One connection, COPY into a table with the columns and the index of `measurement`. */
  copyRowsPerSecond: number;
  /** XADD of one message an entry, 16 in a pipeline on 50 connections, with appendfsync always. */
  xaddPerSecond: number;
}

const ROWS = 1_000_000;
const APPENDS = 300_000;

/** Measures both ceilings on the servers of `system`. */
export async function measureCeilings(system: System): Promise<Ceilings> {
  return { copyRowsPerSecond: await measureCopy(system), xaddPerSecond: await measureXadd(system) };
}

async function measureCopy({ db }: System): Promise<number> {
  await db.query(`create table public.bench_copy (time timestamptz not null, sensor_id int not null,
    value double precision, status text not null default 'ok', primary key (sensor_id, time))`);
  const data = copyData();
  try {
    const started = performance.now();
    await db.transaction((tx) => tx.copyIn("copy public.bench_copy from stdin (format binary)", data));
    return Math.round((ROWS / (performance.now() - started)) * 1000);
  } finally {
    await db.query("drop table public.bench_copy");
  }
}

/** Rows of 7,000 sensors, one a second, in PostgreSQL's binary COPY format. */
function copyData(): Buffer {
  const header = Buffer.from("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", "latin1");
  const row = 2 + 4 + 8 + 4 + 4 + 4 + 8 + 4 + 2;
  const data = Buffer.alloc(header.length + ROWS * row + 2);
  header.copy(data);
  let at = header.length;
  for (let i = 0; i < ROWS; i++) {
    at = data.writeInt16BE(4, at);
    at = data.writeInt32BE(8, at);
    at = data.writeBigInt64BE(BigInt(Math.floor(i / 7000)) * 1_000_000n, at);
    at = data.writeInt32BE(4, at);
    at = data.writeInt32BE(i % 7000, at);
    at = data.writeInt32BE(8, at);
    at = data.writeDoubleBE(20 + (i % 97) / 10, at);
    at = data.writeInt32BE(2, at);
    at += data.write("ok", at, "latin1");
  }
  data.writeInt16BE(-1, at);
  return data;
}

async function measureXadd({ redisUrl }: System): Promise<number> {
  const { hostname, port, password } = new URL(redisUrl);
  const server = ["-h", hostname, "-p", port, "-a", decodeURIComponent(password)];
  const payload = JSON.stringify({ temperature: 22.5, humidity: 55, ph: 6.1, ec: 1.4, water_level: 80 });
  const load = ["-n", String(APPENDS), "-c", "50", "-P", "16", "--csv"];
  const { stdout } = await run("redis-benchmark", [
    ...server,
    ...load,
    "XADD",
    "bench:xadd",
    "*",
    "m",
    payload,
  ]);
  await run("redis-cli", [...server, "DEL", "bench:xadd"]);
  return Math.round(Number(/^"XADD.*?","([\d.]+)",/m.exec(stdout)?.[1] ?? 0));
}
