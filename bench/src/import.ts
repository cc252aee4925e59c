import { once } from "node:events";
import { createWriteStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensurePartitions, weekOf } from "@sluice/db";
import type { Progress } from "./e2e.ts";
import { readProcessCost } from "./process-cost.ts";
import { openSystem, type System } from "./system.ts";

/** What it took to get the readings in, and how that compares with COPY. */
export interface ImportCost {
  seconds: number;
  /** Of all servers, services and the command. */
  cpuSeconds: number;
  readingsPerSecond: number;
  secondsOfCopy: number;
  cpuOfCopy: number;
}

/** The same readings by plain COPY, and by `./sluice import` of three kinds of file. */
export interface ImportReport {
  readings: number;
  /** Text COPY into the same table with its indexes, one transaction, nothing else. */
  copy: Pick<ImportCost, "seconds" | "cpuSeconds" | "readingsPerSecond">;
  csv: ImportCost;
  influx: ImportCost;
  jsonl: ImportCost;
}

const DEVICES = 100;
const FIELDS = Array.from({ length: 10 }, (_, i) => `f${i}`);
const STEP_MS = 60_000;
const START_MS = Date.UTC(2026, 0, 5);
const value = (step: number, device: number, field: number) =>
  20 + ((step * 7 + device * 13 + field) % 100) / 10;

/** Writes files with a row a minute of 100 devices with 10 fields each, and gets each of them in. */
export async function benchImport(options: { readings: number }, say: Progress): Promise<ImportReport> {
  const steps = Math.max(1, Math.round(options.readings / DEVICES / FIELDS.length));
  const readings = steps * DEVICES * FIELDS.length;
  const folder = mkdtempSync(join(tmpdir(), "sluice-bench-import-"));
  const system = await openSystem(["stream-worker"], 1, { SLUICE_SINKS: "postgres" });
  try {
    const weeks = new Set<number>();
    for (let step = 0; step <= steps; step += 60) weeks.add(weekOf((START_MS + step * STEP_MS) * 1000));
    await ensurePartitions(system.db, weeks);
    say(`copying ${readings} readings`);
    const data = copyData(steps);
    const copy = await measure(system, readings, () =>
      system.db.transaction((tx) =>
        tx.copyIn("COPY public.measurement (sensor_id, time, value) FROM STDIN", data),
      ),
    );
    const kinds: Record<"csv" | "influx" | "jsonl", [Row, ...string[]]> = {
      csv: [
        csvRow,
        "--map",
        "device=device",
        "--map",
        "time=time",
        ...FIELDS.flatMap((f) => ["--map", `${f}=${f}`]),
      ],
      influx: [influxRow],
      jsonl: [jsonRow],
    };
    const costs = {} as Record<keyof typeof kinds, ImportCost>;
    for (const kind of Object.keys(kinds) as (keyof typeof kinds)[]) {
      const [row, ...flags] = kinds[kind];
      const file = join(folder, kind);
      await writeFile(file, kind === "csv" ? `time,device,${FIELDS.join(",")}\n` : "", steps, row);
      say(`importing ${kind}`);
      const cost = await measure(system, readings, async () => {
        const report = JSON.parse(await system.sluice("import", kind, file, "--json", ...flags));
        if (report.stored !== readings) throw new Error(`${report.stored} of ${readings} are stored`);
      });
      costs[kind] = {
        ...cost,
        secondsOfCopy: round(cost.seconds / copy.seconds),
        cpuOfCopy: round(cost.cpuSeconds / copy.cpuSeconds),
      };
    }
    return { readings, copy, ...costs };
  } finally {
    await system.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const round = (value: number) => Number(value.toFixed(2));

async function measure(system: System, readings: number, run: () => Promise<unknown>) {
  const own = () => readProcessCost(process.pid).cpuSeconds;
  const servers = () => Object.values(system.costs()).reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
  const [startedMs, before] = [performance.now(), own() + servers()];
  await run();
  const seconds = (performance.now() - startedMs) / 1000;
  return {
    seconds: round(seconds),
    cpuSeconds: round(own() + servers() - before),
    readingsPerSecond: Math.round(readings / seconds),
  };
}

/** As the file has them, under sensors that are nobody's. */
function copyData(steps: number): Buffer {
  const lines: string[] = [];
  for (let step = 0; step < steps; step++) {
    const time = new Date(START_MS + step * STEP_MS).toISOString();
    for (let device = 0; device < DEVICES; device++) {
      for (let field = 0; field < FIELDS.length; field++) {
        lines.push(`${1_000_000 + device * FIELDS.length + field}\t${time}\t${value(step, device, field)}\n`);
      }
    }
  }
  return Buffer.from(lines.join(""));
}

type Row = (atMs: number, device: number, values: readonly number[]) => string;
const pairs = (values: readonly number[], join: (field: string, value: number) => string) =>
  values.map((value, i) => join(FIELDS[i] ?? "", value)).join(",");
const csvRow: Row = (atMs, device, values) =>
  `${new Date(atMs).toISOString()},csv-${device},${values.join(",")}\n`;
const influxRow: Row = (atMs, device, values) =>
  `sensor_reading,device_id=influx-${device} ${pairs(values, (f, v) => `${f}=${v}`)} ${atMs}000000\n`;
const jsonRow: Row = (atMs, device, values) =>
  `{"device_id":"jsonl-${device}","ts":${atMs},${pairs(values, (f, v) => `"${f}":${v}`)}}\n`;

async function writeFile(file: string, head: string, steps: number, row: Row): Promise<void> {
  const out = createWriteStream(file);
  out.write(head);
  for (let step = 0; step < steps; step++) {
    const rows: string[] = [];
    for (let device = 0; device < DEVICES; device++) {
      rows.push(
        row(
          START_MS + step * STEP_MS,
          device,
          FIELDS.map((_, field) => value(step, device, field)),
        ),
      );
    }
    if (!out.write(rows.join(""))) await once(out, "drain");
  }
  out.end();
  await once(out, "close");
}
