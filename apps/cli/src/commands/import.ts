import { Command, InvalidArgumentError, Option } from "commander";
import { CommandError } from "../command-error.ts";
import { type ColumnChoice, mapCsv, parseColumnChoice } from "../csv/map-csv.ts";
import { openTable } from "../csv/open-table.ts";
import { createTimeFormat } from "../csv/time-format.ts";
import { deviceIdArgument } from "../id-argument.ts";
import { boundsOf, type CommonOptions, withImportOptions } from "../import/import-options.ts";
import { importTable } from "../import/import-table.ts";
import { openGreenhouse } from "../import/open-greenhouse.ts";
import { integerBetween } from "../number-argument.ts";
import { jsonLines, lineProtocol } from "./import-lines.ts";

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
  command.addCommand(lineProtocol());
  command.addCommand(jsonLines());
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
  return withImportOptions(command, "Europe/Amsterdam")
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
  return withImportOptions(command, "UTC")
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
