import type { Bus } from "@sluice/bus";
import { countParkedMessages, type Db, putReconciliation } from "@sluice/db";
import { createMender, type ExtraPolicy, type ReconcileReport, reconcile } from "@sluice/etl";
import { type Influx, openInflux } from "@sluice/influx";
import { type Mark, waitProcessed } from "@sluice/intake";
import { GROUPS, partitionOf, streamKey } from "@sluice/shared-types";
import { Command, Option } from "commander";
import { CommandError } from "../command-error.ts";
import { deviceIdArgument } from "../id-argument.ts";
import { influxOptionsFor } from "../influx/influx-options.ts";
import { connectFor, partitionCount } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { note, printJson, printLine } from "../output.ts";
import { timeArgument } from "../time-argument.ts";

interface Flags {
  from?: number;
  to?: number;
  device?: string[];
  repair?: boolean;
  dryRun?: boolean;
  extra: ExtraPolicy;
  json?: boolean;
}

const DAY_MS = 86_400_000;
/** What is younger may still be on its way. */
const SETTLE_MS = 300_000;
const STALL_MS = 60_000;

const HELP = `
Compares numbers, sums, smallest and largest values of every sensor and hour, then reading by reading where these differ.
PostgreSQL is right: with --repair InfluxDB is given what it misses and what it has with another value. Readings that only
InfluxDB has are sent the way of all telemetry (PostgreSQL stores them, or quarantine names why not); --extra delete takes
them out of InfluxDB instead. What is still on its way counts as different, so look back a few minutes at least.
Exit codes: 0 the stores agree, or do after the repair; 1 they differ; 2 asked wrongly.

Examples:
  $ ./sluice reconcile
  $ ./sluice reconcile --from 2026-11-01 --to 2026-11-08 --device esp32_001
  $ ./sluice reconcile --from 2026-11-01 --repair`;

/** `sluice reconcile`: names and mends what differs between PostgreSQL and InfluxDB. */
export function reconcileCommand(): Command {
  return new Command("reconcile")
    .description("compare InfluxDB with PostgreSQL, and mend what differs")
    .option("--from <time>", "begin of the range (default: a day before its end)", timeArgument)
    .option("--to <time>", "end of the range (default: five minutes ago)", timeArgument)
    .option("--device <id...>", "only these devices", (id: string, before: string[] | undefined) => [
      ...(before ?? []),
      deviceIdArgument(id),
    ])
    .option("--repair", "mend what differs")
    .option("--dry-run", "mend nothing, also with --repair")
    .addOption(
      new Option("--extra <policy>", "readings that only InfluxDB has")
        .choices(["send", "delete", "keep"])
        .default("send"),
    )
    .option("--json", "print JSON")
    .addHelpText("after", HELP)
    .action((flags: Flags, self: Command) => interruptible((signal) => execute(flags, self, signal)));
}

async function execute(flags: Flags, command: Command, signal: AbortSignal): Promise<void> {
  const range = rangeOf(flags);
  const connection = connectFor(command);
  const influx = openInflux(influxOptionsFor(command));
  try {
    const db = await connection.openDb();
    try {
      const parked = await countParkedMessages(db, GROUPS.influx);
      if (parked > 0)
        note(`${parked} messages are parked for InfluxDB: influx-writer gets them back by itself`);
      const { device: devices } = flags;
      const found =
        flags.repair && !flags.dryRun
          ? await withBus(connection.openBus, (bus) => repair({ db, influx, bus, flags, range, signal }))
          : {
              report: await reconcile(db, influx, range, { devices, signal, onWindow: showProgress }),
              left: undefined,
            };
      if (devices === undefined && !signal.aborted) {
        await putReconciliation(db, {
          ...(found.left ?? found.report),
          ...range,
          repaired: found.left !== undefined,
        });
      }
      finish(found, flags, signal);
    } finally {
      await db.close();
    }
  } finally {
    await influx.close();
  }
}

function rangeOf({ from, to }: Flags): { fromMs: number; toMs: number } {
  const toMs = to === undefined ? Date.now() - SETTLE_MS : to / 1000;
  const fromMs = from === undefined ? toMs - DAY_MS : from / 1000;
  if (fromMs >= toMs) throw new CommandError("--from has to be before --to", 2);
  return { fromMs: Math.floor(fromMs), toMs: Math.floor(toMs) };
}

async function withBus<T>(open: () => Promise<Bus>, run: (bus: Bus) => Promise<T>): Promise<T> {
  const bus = await open();
  try {
    return await run(bus);
  } finally {
    await bus.close();
  }
}

interface Found {
  report: ReconcileReport;
  /** What still differs after the repair; undefined where nothing was repaired. */
  left: ReconcileReport | undefined;
}

interface Repair {
  db: Db;
  influx: Influx;
  bus: Bus;
  flags: Flags;
  range: { fromMs: number; toMs: number };
  signal: AbortSignal;
}

/** Mends stretch by stretch, then compares those stretches again. */
async function repair({ db, influx, bus, flags, range, signal }: Repair): Promise<Found> {
  const marks = new Map<string, Mark>();
  const mend = createMender(db, influx, {
    extra: flags.extra,
    publish: async (device, message) => {
      const stream = streamKey("telemetry", partitionOf(device, partitionCount()));
      await bus.ensureGroup(stream, GROUPS.postgres);
      const [id = ""] = await bus.publish(stream, [message]);
      marks.set(stream, { entry: id.split("#")[0] ?? "", atMs: performance.now() });
    },
  });
  const report = await reconcile(db, influx, range, {
    devices: flags.device,
    signal,
    onWindow: showProgress,
    onDifferent: async (stretch) => {
      const refused = await mend(stretch);
      if (refused > 0) note(`${stretch.device}: InfluxDB would not take ${refused} points`);
    },
  });
  if (marks.size > 0) await waitProcessed(bus, marks, { signal, stallMs: STALL_MS, onWaiting: () => {} });
  const left: ReconcileReport = { ...report, missing: 0, differing: 0, extra: 0, sensors: [], stretches: [] };
  for (const { device, range: stretch } of report.stretches) {
    const again = await reconcile(db, influx, stretch, { devices: [device], signal });
    left.missing += again.missing;
    left.differing += again.differing;
    left.extra += flags.extra === "keep" ? 0 : again.extra;
    left.sensors.push(...again.sensors);
    left.stretches.push(...again.stretches);
  }
  return { report, left };
}

function showProgress(done: number, total: number): void {
  if (process.stderr.isTTY)
    process.stderr.write(`\r${done} of ${total} windows compared${done === total ? "\n" : ""}`);
}

const total = ({ missing, differing, extra }: ReconcileReport) => missing + differing + extra;

function finish({ report, left }: Found, { json, repair: wanted, dryRun }: Flags, signal: AbortSignal): void {
  if (json) printJson({ ...textOf(report), ...(left && { left: textOf(left) }) });
  else printReport(report, left);
  if (wanted && dryRun && !json) note("--dry-run: nothing was mended");
  if (signal.aborted) note("interrupted: not everything was compared; run it again");
  if (signal.aborted || total(left ?? report) > 0) process.exitCode = 1;
}

const iso = (ms: number) => new Date(ms).toISOString();

function textOf({ fromMs, toMs, stretches: _, sensors, ...counts }: ReconcileReport) {
  return {
    from: iso(fromMs),
    to: iso(toMs),
    ...counts,
    sensors: sensors.map(({ fromMs, toMs, ...sensor }) => ({ ...sensor, from: iso(fromMs), to: iso(toMs) })),
  };
}

const WORDS = {
  missing: "missing in InfluxDB",
  differing: "another value in InfluxDB",
  extra: "only in InfluxDB",
} as const;

function printReport(report: ReconcileReport, left: ReconcileReport | undefined): void {
  for (const { device, field, kind, readings, fromMs, toMs, example } of report.sensors) {
    const values = Object.entries(example).map(([store, value]) => `${store} ${value}`);
    printLine(
      `${device}/${field}  ${WORDS[kind]}: ${readings}  ${iso(fromMs)} to ${iso(toMs)}  (${values.join(", ")})`,
    );
  }
  const { hours, missing, differing, extra } = report;
  printLine(
    `${hours} hours of sensors compared, ${iso(report.fromMs)} to ${iso(report.toMs)}: ` +
      (total(report) === 0
        ? "the stores agree"
        : `${missing} missing, ${differing} differing, ${extra} extra`),
  );
  if (left && total(report) > 0)
    printLine(total(left) === 0 ? "mended: they agree now" : `${total(left)} could not be mended`);
}
