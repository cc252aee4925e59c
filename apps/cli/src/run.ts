import { ConfigError } from "@sluice/service-kit";
import { NotFoundError, OutageError } from "@sluice/shared-types";
import { Command, CommanderError } from "commander";
import { CommandError } from "./command-error.ts";
import { commands } from "./commands/index.ts";

const EXAMPLES = `
Examples:
  $ ./sluice up                     start everything, print a device and a line to paste
  $ ./sluice status                 what runs where
  $ ./sluice tail                   live readings
  $ ./sluice <command> --help       flags and examples of one command`;

/** The whole command line. */
export function createProgram(): Command {
  const program = new Command("sluice")
    .description(
      "Telemetry backbone for fleets of ESP32-class devices: what was acknowledged is stored exactly once.",
    )
    .option("--data-dir <folder>", "data folder (default: .sluice of this installation; SLUICE_DATA_DIR)")
    .option("--debug", "show the stack of an error")
    .addHelpText("after", EXAMPLES)
    .showHelpAfterError()
    .configureHelp({ showGlobalOptions: true })
    .helpCommand(true);
  for (const command of commands()) program.addCommand(command);
  for (const command of everyCommand(program)) {
    command.exitOverride().showHelpAfterError().configureHelp({ showGlobalOptions: true });
  }
  return program;
}

/** Runs one command line and resolves with its exit code; says errors on standard error. */
export async function run(args: readonly string[]): Promise<number> {
  const program = createProgram();
  if (args.length === 0) {
    program.outputHelp({ error: true });
    return 2;
  }
  try {
    await program.parseAsync(args, { from: "user" });
    return typeof process.exitCode === "number" ? process.exitCode : 0;
  } catch (error) {
    return explain(error, program.opts<{ debug?: boolean }>().debug === true);
  }
}

/** Tells what went wrong in one line and gives the exit code. */
function explain(error: unknown, debug: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const exitCode = error instanceof CommandError ? error.exitCode : error instanceof ConfigError ? 2 : 1;
  process.stderr.write(`sluice: ${messageOf(error)}\n`);
  if (debug && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return exitCode;
}

function messageOf(error: unknown): string {
  if (error instanceof OutageError) {
    return `${error.dependency} cannot be reached: ${error.message}; see ./sluice status and ./sluice doctor`;
  }
  if (error instanceof CommandError || error instanceof ConfigError || error instanceof NotFoundError) {
    return error.message;
  }
  if (!(error instanceof Error)) return String(error);
  const message =
    error instanceof AggregateError
      ? (error.errors as Error[]).map((e) => e.message).join("; ")
      : error.message;
  return `${message.split("\n")[0] || error.name} (run with --debug for the stack)`;
}

function* everyCommand(command: Command): Generator<Command> {
  yield command;
  for (const child of command.commands) yield* everyCommand(child);
}
