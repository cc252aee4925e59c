import { Command } from "commander";
import { integerBetween } from "../number-argument.ts";
import { runUp } from "../up/run-up.ts";
import { readUpConfig, type UpFlags } from "../up/up-config.ts";

const EXAMPLES = `
Examples:
  $ ./sluice up
  $ ./sluice up --data-dir /srv/sluice --mqtt-port 1883 --http-port 3001
  $ ./sluice up --services ingest-gateway,stream-worker --no-tty
  $ DATABASE_URL=postgres://… REDIS_URL=redis://… ./sluice up

Servers named by REDIS_URL, DATABASE_URL, INFLUXDB_URL or MQTT_URL are used as they are; the others are
started as private ones in the data folder, on loopback. Ctrl-C stops everything in order.`;

/** `sluice up`: start everything and stay. */
export function upCommand(): Command {
  return new Command("up")
    .description("start the servers and services of a data folder and keep them running")
    .option(
      "--mqtt-port <port>",
      "port of the broker, 0 for any (default: 1883 if free; SLUICE_MQTT_PORT)",
      integerBetween(0, 65_535),
    )
    .option(
      "--http-port <port>",
      "port of the HTTP gateway, 0 for any (default: 3001 if free; SLUICE_HTTP_PORT)",
      integerBetween(0, 65_535),
    )
    .option("--services <names>", "only these services, comma separated (SLUICE_SERVICES)")
    .option("--no-tty", "log JSON lines even on a terminal (SLUICE_NO_TTY)")
    .option("--yes", "install missing system packages without asking (SLUICE_YES)")
    .addHelpText("after", EXAMPLES)
    .action(async (_options, command: Command) => {
      await runUp(readUpConfig(command.optsWithGlobals<UpFlags>()));
    });
}
