import type { OutageError } from "@sluice/shared-types";
import { parseTime } from "@sluice/shared-types";
import { SingleBar } from "cli-progress";
import { Command, InvalidArgumentError, Option } from "commander";
import { CommandError } from "../command-error.ts";
import { type ColumnChoice, mapCsv, parseColumnChoice } from "../csv/map-csv.ts";
import { openTable, type Table } from "../csv/open-table.ts";
import type { TimeBounds } from "../csv/read-row.ts";
import { createTimeFormat } from "../csv/time-format.ts";
import { deviceIdArgument, timeZoneArgument, typeArgument } from "../id-argument.ts";
import { createImportReport, printImportReport, printMap } from "../import/import-report.ts";
import { openGreenhouse } from "../import/open-greenhouse.ts";
import { type ImportProgress, type ImportResult, runImport } from "../import/run-import.ts";
import { connectFor, partitionCount } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { integerBetween, numberBetween } from "../number-argument.ts";
import { note, printJson } from "../output.ts";
import { jsonLines, lineProtocol } from "./import-lines.ts";

/** Options of every kind of import. */
export interface CommonOptions {
  type: string;
  timeZone: string;
  notBefore: number;
  notAfter?: number;
  replace?: boolean;
  wait: number;
  showMap?: boolean;
  json?: boolean;
}
interface GreenhouseFlags extends CommonOptions {
  device: string;
  step?: string;
}
interface CsvFlags extends CommonOptions {
  map: ColumnChoice;
  device?: string;
  delimiter: string;
  decimal: "." | ",";
  encoding: string;
  headerRows: number;
  timeFormat?: (cell: string) => string;
}

const RERUN = `
Times without an offset are local time in --time-zone. In the hour that happens twice in autumn the order of the
rows tells the two passes apart. Running it again stores nothing twice. Exit code 1 if a reading was refused, a row
with values could not be used, or storing did not finish.`;

/** `sluice import`: readings of a file, with their own times. */
export function importCommand(): Command {
  const command = new Command("import")
    .description("import a file of readings through the bus, with an exact account of every row and cell")
    .addHelpText("after", "\nExample:\n  $ ./sluice import greenhouse one-month-every-5-minutes.csv");
  command.addCommand(greenhouse());
  command.addCommand(csv());
  command.addCommand(lineProtocol(common));
  command.addCommand(jsonLines(common));
  return command;
}

function greenhouse(): Command {
  const command = new Command("greenhouse")
    .description("a greenhouse export: local times, then one column per series")
    .argument("<file>", "CSV file")
    .option("--device <prefix>", "device ids begin with it", prefixArgument, "greenhouse")
    .option(
      "--step <step>",
      "time between rows, e.g. 5m or 1h; part of the field names (default: found)",
      stepArgument,
    );
  return common(command, "Europe/Amsterdam")
    .addHelpText(
      "after",
      `
The header of a column names its series: 'Sensor PMC (21B) - Air temperature (°C) - averages' at 5-minute steps is
the field air_temperature_avg_5m, in °C, of the device greenhouse-sensor-pmc-21b. --show-map prints them all.
${RERUN}

Example:
  $ ./sluice import greenhouse one-month-every-5-minutes.csv --time-zone Europe/Amsterdam`,
    )
    .action((file: string, options: GreenhouseFlags, self: Command) =>
      importTable(file, options, self, () =>
        openGreenhouse(file, {
          prefix: options.device,
          timeZone: options.timeZone,
          bounds: boundsOf(options),
          ...(options.step === undefined ? {} : { step: options.step }),
        }),
      ),
    );
}

function csv(): Command {
  const command = new Command("csv")
    .description("any CSV file, with a column map")
    .argument("<file>", "CSV file")
    .option(
      "--map <target=column>",
      "time=, device= or a field= and its column; repeatable, or parted by commas",
      collectMap,
      [],
    )
    .option("--device <id>", "device of the whole file", deviceIdArgument)
    .option("--delimiter <character>", "between cells; 'tab' for a tab", delimiterArgument, ",")
    .addOption(new Option("--decimal <mark>", "decimal mark").choices([".", ","]).default("."))
    .addOption(
      new Option("--encoding <name>", "of the file")
        .choices(["utf-8", "latin1", "utf-16le"])
        .default("utf-8"),
    )
    .option(
      "--header-rows <n>",
      "rows before the data; the last names the columns",
      integerBetween(0, 100),
      1,
    )
    .option(
      "--time-format <format>",
      "e.g. 'DD-MM-YYYY HH:mm'; ISO 8601 and epochs need none",
      formatArgument,
    );
  return common(command, "UTC")
    .addHelpText(
      "after",
      `
A column is named by its header, or as #3 for the third. Without a field in the map, every column but time and
device is one, named after its header; without time= the first column is the time.
${RERUN}

Examples:
  $ ./sluice import csv log.csv --device shed-1
  $ ./sluice import csv log.csv --map time=Datum,device=Node,temperature='Temp (°C)' --delimiter ';' --decimal ,`,
    )
    .action((file: string, options: CsvFlags, self: Command) => {
      const byColumn = options.map.some(({ target }) => target === "device");
      if (byColumn === (options.device !== undefined)) {
        throw new CommandError(
          "give either --device, for the whole file, or a column: --map device=COLUMN",
          2,
        );
      }
      const { delimiter, encoding, headerRows, timeZone, decimal, device, timeFormat } = options;
      return importTable(file, options, self, () =>
        openTable(file, {
          delimiter,
          encoding,
          headerRows,
          timeZone,
          bounds: boundsOf(options),
          ...(timeFormat ? { timeFormat } : {}),
          map: (header) =>
            mapCsv(file, header, options.map, { decimal, ...(device === undefined ? {} : { device }) }),
        }),
      );
    });
}

function common(command: Command, timeZone: string): Command {
  return command
    .option("--time-zone <zone>", "IANA zone of times without an offset", timeZoneArgument, timeZone)
    .option("--type <type>", "message type; InfluxDB's measurement", typeArgument, "telemetry")
    .option("--not-before <time>", "skip earlier rows", timeArgument, Date.UTC(1990, 0, 1) * 1000)
    .option("--not-after <time>", "skip later rows (default: a day ahead)", timeArgument)
    .option(
      "--replace",
      "correct what is stored: other values replace it, the old ones are kept as revisions",
    )
    .option(
      "--wait <seconds>",
      "how long storing may stand still; 0 does not wait for it",
      numberBetween(0, 86_400),
      60,
    )
    .option("--show-map", "print what each column becomes, and import nothing")
    .option("--json", "print JSON");
}

/** Imports what `open` gives, as the options say. */
export async function importTable(
  file: string,
  options: CommonOptions,
  command: Command,
  open: () => Promise<Table>,
): Promise<void> {
  const table = await open();
  if (options.showMap) {
    if (options.json) printJson(table.map.columns);
    else printMap(table);
    await table.close();
    return;
  }
  const connection = connectFor(command);
  const bus = await connection.openBus();
  try {
    const db = await connection.openDb();
    try {
      await interruptible(async (signal) => {
        const progress = createProgress(table, options.json === true);
        const result = await runImport(bus, db, table, {
          type: options.type,
          replace: options.replace === true,
          partitions: partitionCount(),
          stallMs: options.wait * 1000,
          signal,
          onProgress: progress.show,
          onOutage: progress.outage,
        }).finally(progress.stop);
        finish(file, result, options);
      });
    } finally {
      await db.close();
    }
  } finally {
    await bus.close();
  }
}

function finish(file: string, result: ImportResult, options: CommonOptions): void {
  const report = createImportReport(file, result);
  if (options.json) printJson(report);
  else printImportReport(report);
  const { bad_line = 0, bad_time = 0, bad_device = 0, out_of_bounds = 0 } = report.rowsSkipped;
  const unfinished = options.wait > 0 && report.stored === null;
  if (!report.complete) note("interrupted: run it again, what is stored already stays once");
  else if (unfinished) {
    note(
      "accepted and safe on the bus, but not stored yet: does stream-worker run? see ./sluice status and ./sluice lag",
    );
  }
  if (report.readingsAccepted === 0) note(`${file}: no reading in it`);
  const refused = (report.quarantined ?? 0) > 0 || bad_line + bad_time + bad_device + out_of_bounds > 0;
  if (!report.complete || unfinished || refused || report.readingsAccepted === 0) process.exitCode = 1;
}

/** A bar on a terminal; elsewhere only what holds it up. */
function createProgress(table: Table, quiet: boolean) {
  const bar =
    process.stderr.isTTY && !quiet
      ? new SingleBar({
          format: "{step} [{bar}] {percentage}% | {readings} readings{waiting}",
          hideCursor: true,
          stream: process.stderr,
        })
      : undefined;
  bar?.start(table.sizeBytes, 0, { step: "reading", readings: 0, waiting: "" });
  let told = "";
  return {
    show({ step, readBytes, readings, waiting }: ImportProgress) {
      const behind = step === "storing" ? ` | ${waiting} messages to be stored` : "";
      bar?.update(readBytes, { step, readings, waiting: behind });
    },
    outage(error: OutageError) {
      if (error.message === told) return;
      told = error.message;
      note(`waiting for ${error.dependency}: ${error.message}`);
    },
    stop: () => bar?.stop(),
  };
}

/** The times that are taken. */
export function boundsOf({ notBefore, notAfter }: CommonOptions): TimeBounds {
  return { fromUs: notBefore, toUs: notAfter ?? (Date.now() + 86_400_000) * 1000 };
}

function prefixArgument(text: string): string {
  if (/^[A-Za-z0-9_-]{0,40}$/.test(text)) return text;
  throw new InvalidArgumentError("Allowed: up to 40 letters, digits, '_' or '-'.");
}

function stepArgument(text: string): string {
  if (/^[1-9]\d{0,5}[smhd]$/.test(text)) return text;
  throw new InvalidArgumentError("Allowed: a whole number with a unit, such as 30s, 5m, 1h or 1d.");
}

function delimiterArgument(text: string): string {
  const delimiter = text === "tab" || text === "\\t" ? "\t" : text;
  if ([...delimiter].length === 1 && !/["\r\n]/.test(delimiter)) return delimiter;
  throw new InvalidArgumentError("Allowed: one character other than a quote, or 'tab'.");
}

function timeArgument(text: string): number {
  const timeUs = parseTime(text);
  if (timeUs === undefined)
    throw new InvalidArgumentError("Allowed: an ISO 8601 time such as 2020-01-01, in UTC.");
  return timeUs;
}

function formatArgument(text: string): (cell: string) => string {
  const format = createTimeFormat(text);
  if (!format)
    throw new InvalidArgumentError(
      "Allowed: YYYY (or YY), MM, DD and maybe HH, mm, ss, SSS with what is between.",
    );
  return format;
}

function collectMap(text: string, before: ColumnChoice): ColumnChoice {
  const pairs = parseColumnChoice(text);
  if (!pairs)
    throw new InvalidArgumentError("Allowed: target=column, such as time=Datum or temperature='Temp (°C)'.");
  const choice = [...before, ...pairs];
  const targets = choice.map(({ target }) => target);
  const twice = targets.find((target, i) => targets.indexOf(target) !== i);
  if (twice !== undefined) throw new InvalidArgumentError(`'${twice}' is mapped twice.`);
  return choice;
}
