import type { Command } from "commander";
import type { TimeBounds } from "../csv/read-row.ts";
import { timeZoneArgument, typeArgument } from "../id-argument.ts";
import { numberBetween } from "../number-argument.ts";
import { timeArgument } from "../time-argument.ts";

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
/** Adds the options of every kind of import; `timeZone` is that of times without an offset. */
export function withImportOptions(command: Command, timeZone: string): Command {
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

/** The times that are taken. */
export function boundsOf({ notBefore, notAfter }: CommonOptions): TimeBounds {
  return { fromUs: notBefore, toUs: notAfter ?? (Date.now() + 86_400_000) * 1000 };
}
