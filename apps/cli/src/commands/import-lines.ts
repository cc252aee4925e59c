import { Command, Option } from "commander";
import { deviceIdArgument } from "../id-argument.ts";
import { boundsOf, type CommonOptions, withImportOptions } from "../import/import-options.ts";
import { importTable } from "../import/import-table.ts";
import { openJsonLines, openLineProtocol, type Precision } from "../lines/open-lines.ts";

interface Flags extends CommonOptions {
  device?: string;
  deviceTag?: string;
  precision: Precision;
}

/** `sluice import influx`: a file of InfluxDB line protocol. */
export function lineProtocol(): Command {
  const command = new Command("influx")
    .description(
      "InfluxDB line protocol, such as influx_inspect export or influxd inspect export-lp write it",
    )
    .argument("<file>", "one point a line")
    .addOption(
      new Option("--precision <unit>", "of the times").choices(["ns", "us", "ms", "s"]).default("ns"),
    )
    .option("--device-tag <tag>", "tag that names the device (default: device_id, else sensor_id)")
    .option("--device <id>", "device of points without that tag", deviceIdArgument);
  return withImportOptions(command, "UTC")
    .addHelpText(
      "after",
      `
A field is named <measurement>.<field>; just <field> in sensor_reading and telemetry; and <measurement> where it is called
value. Other tags are not kept.

Example:
  $ ./sluice import influx export.lp --device-tag host`,
    )
    .action((file: string, flags: Flags, self: Command) =>
      importTable(file, flags, self, () =>
        openLineProtocol(file, { ...flags, bounds: boundsOf(flags), precision: flags.precision }),
      ),
    );
}

/** `sluice import jsonl`: a file of JSON payloads. */
export function jsonLines(): Command {
  const command = new Command("jsonl")
    .description("one JSON payload a line, as a device would send it, with device_id and its own time")
    .argument("<file>", "JSON lines")
    .option("--device <id>", "device of lines that name none", deviceIdArgument);
  return withImportOptions(command, "UTC")
    .addHelpText("after", "\nExample:\n  $ ./sluice import jsonl readings.jsonl --device shed-1")
    .action((file: string, flags: Flags, self: Command) =>
      importTable(file, flags, self, () => openJsonLines(file, { ...flags, bounds: boundsOf(flags) })),
    );
}
