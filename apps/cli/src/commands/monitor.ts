import { setTimeout as delay } from "node:timers/promises";
import { openKeyValue } from "@sluice/bus";
import {
  type Db,
  listJobsOfDay,
  listLatestMeasurements,
  listRuns,
  listStaleNodes,
  listTableSizes,
  readMeasurementHealth,
} from "@sluice/db";
import { Command } from "commander";
import { pc } from "../colours.ts";
import type { Connection } from "../connect.ts";
import { connectFor } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { lookAtStreams, measureRate } from "../monitor/look.ts";
import { grade, printStreams, printTable, text } from "../monitor/print.ts";
import { integerBetween } from "../number-argument.ts";
import { formatBytes, formatDuration, printJson, printLine } from "../output.ts";

interface Flags {
  json?: boolean;
  watch?: number;
}

/** What a monitor looks at, and how it shows it. */
interface Monitor<T> {
  name: string;
  description: string;
  look(connection: Connection, db: Db): Promise<T>;
  print(seen: T): void;
}

/** `sluice monitor`: what the scripts of the source systems listed. */
export function monitorCommand(): Command {
  return new Command("monitor")
    .description("processing, db, redis: what the source systems' monitoring scripts listed")
    .addHelpText("after", "\nExample:\n  $ ./sluice monitor db --watch 5")
    .addCommand(toCommand(PROCESSING))
    .addCommand(toCommand(DATABASE))
    .addCommand(toCommand(REDIS));
}

function toCommand<T>({ name, description, look, print }: Monitor<T>): Command {
  return new Command(name)
    .description(description)
    .option("--json", "print one JSON object")
    .option("--watch <seconds>", "again and again, until Ctrl-C", integerBetween(1, 3600))
    .addHelpText("after", `\nExample:\n  $ ./sluice monitor ${name} --json`)
    .action((flags: Flags, self: Command) =>
      interruptible(async (signal) => {
        const connection = connectFor(self);
        const db = await connection.openDb();
        try {
          do {
            const seen = await look(connection, db);
            if (flags.json) printJson(seen);
            else print(seen);
            if (flags.watch === undefined) return;
            await delay(flags.watch * 1000, undefined, { signal }).catch(() => {});
          } while (!signal.aborted);
        } finally {
          await db.close();
        }
      }),
    );
}

const RECENT = 10;

const PROCESSING: Monitor<Awaited<ReturnType<typeof lookAtProcessing>>> = {
  name: "processing",
  description: "jobs of the last 24 hours, what failed, and nodes whose figures are behind",
  look: (_connection, db) => lookAtProcessing(db),
  print({ jobs, recent, stale, tables }) {
    printTable(
      "Jobs of the last 24 hours",
      ["job", "completed", "failed", "running", "items", "mean", "last start"],
      jobs.map((job) => [
        ...[job.job, job.completed, grade(job.failed, 1), job.running, job.items],
        ...[job.meanSeconds === null ? null : formatDuration(job.meanSeconds * 1000), job.lastStarted],
      ]),
    );
    for (const { job, lastError } of jobs) {
      if (lastError !== null) printLine(`${pc.red(job)}: ${text(lastError)}\n`);
    }
    printTable(
      "Recent runs",
      ["job", "status", "started", "took", "error"],
      recent.map(({ job, status, startedAt, seconds, error }) => [
        job,
        status === "failed" ? pc.red(status) : status === "running" ? pc.yellow(status) : pc.green(status),
        startedAt,
        seconds === null ? null : formatDuration(seconds * 1000),
        text(error),
      ]),
    );
    printTable(
      "Nodes whose figures are older than an hour",
      ["node", "latest", "behind"],
      stale.map(({ node, latest, behindSeconds }) => [
        node,
        latest,
        pc.red(formatDuration(behindSeconds * 1000)),
      ]),
    );
    printTable(
      "Largest tables",
      ["table", "size"],
      tables.map(({ table, bytes }) => [table, formatBytes(bytes)]),
    );
  },
};

async function lookAtProcessing(db: Db) {
  return {
    jobs: await listJobsOfDay(db),
    recent: await listRuns(db, {}, RECENT),
    stale: await listStaleNodes(db),
    tables: await listTableSizes(db, RECENT),
  };
}

const DATABASE: Monitor<Awaited<ReturnType<typeof lookAtDatabase>>> = {
  name: "db",
  description: "the newest measurements with room and device, consumer groups, ingestion rate",
  look: lookAtDatabase,
  print({ measurements, streams, measurementsPerSecond }) {
    printTable(
      "Newest measurements",
      ["room", "sensor", "device", "value", "status", "time"],
      measurements.map(({ room, sensor, device, value, unit, status, time }) => [
        ...[text(room), text(sensor), device, value === null ? null : `${value}${unit ? ` ${unit}` : ""}`],
        ...[status === "ok" ? pc.green(status) : pc.red(status), time],
      ]),
    );
    printStreams(streams);
    printLine(`${pc.bold("Ingestion")}: ${measurementsPerSecond} measurements/s\n`);
  },
};

async function lookAtDatabase(connection: Connection, db: Db) {
  const bus = await connection.openBus();
  try {
    return {
      measurements: await listLatestMeasurements(db, RECENT),
      streams: await lookAtStreams(bus),
      measurementsPerSecond: await measureRate(db),
    };
  } finally {
    await bus.close();
  }
}

const REDIS: Monitor<Awaited<ReturnType<typeof lookAtRedis>>> = {
  name: "redis",
  description: "streams, consumer groups, back-pressure, live values, health of the schema",
  look: lookAtRedis,
  print({ server, memory, streams, live, health, measurementsPerSecond }) {
    const limit = memory.maxBytes === null ? "no limit" : formatBytes(memory.maxBytes);
    const used = memory.usedBytes === null ? "unknown" : formatBytes(memory.usedBytes);
    printLine(
      `${pc.bold("Redis")} ${server.version}, up ${formatDuration(server.uptimeSeconds * 1000)}, memory ${used} of ${limit}\n`,
    );
    printStreams(streams);
    printTable(
      "Live values",
      ["sensor", "value", "time"],
      live.map(({ sensor, value, time }) => [sensor, value, time]),
    );
    const { lastHour, latest, sensors, devices } = health;
    const fresh = latest !== null && Date.now() - latest.getTime() < 3_600_000;
    const say = fresh ? pc.green : pc.yellow;
    printLine(
      `${pc.bold("Schema")}: ${say(`${lastHour} measurements in the last hour, the latest ${latest?.toISOString() ?? "never"}`)}, ${sensors} sensors of ${devices} devices`,
    );
    printLine(`${pc.bold("Ingestion")}: ${measurementsPerSecond} measurements/s\n`);
  },
};

async function lookAtRedis(connection: Connection, db: Db) {
  const bus = await connection.openBus();
  const keyValue = await openKeyValue(connection.urls.redis, {});
  try {
    const names = await db.query<{ sensor: string }>(
      "SELECT DISTINCT sensor_code AS sensor FROM iot.sensors ORDER BY 1 LIMIT 1000",
    );
    const live = await Promise.all(
      names.map(async ({ sensor }) => {
        const [value, ts] = await Promise.all([
          keyValue.find(`sensor:${sensor}`),
          keyValue.find(`sensor:${sensor}:ts`),
        ]);
        return value === undefined
          ? []
          : [{ sensor, value: Number(value), time: ts === undefined ? null : new Date(Number(ts)) }];
      }),
    );
    return {
      server: await keyValue.describe(),
      memory: await bus.room(),
      streams: await lookAtStreams(bus),
      live: live.flat(),
      health: await readMeasurementHealth(db),
      measurementsPerSecond: await measureRate(db),
    };
  } finally {
    await keyValue.close();
    await bus.close();
  }
}
