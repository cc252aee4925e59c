import { listMachines, type Machine, type MachineRole, putMachine, putMachineRole } from "@sluice/db";
import { Argument, Command } from "commander";
import { CommandError } from "../command-error.ts";
import { withDb } from "../installation.ts";
import { printable, printJson, printLine } from "../output.ts";

const ROLES: readonly MachineRole[] = [
  "alarms",
  "operation",
  "emergency",
  "stop",
  "program",
  "motor",
  "sensor",
];
const ID = /^[a-z0-9-]{1,50}$/;

const HELP = `
A machine without a device reads the source database (DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DB_NAME); one with a device
is fed by its telemetry, whose fields are the variables. Variables are found by their usual names, or ids in the source
database; role names others. The factor of a motor is its nominal kW, of a sensor what values are multiplied by.

Examples:
  $ ./sluice machines
  $ ./sluice machines put machine-2 --name "Second centre" --source-variables 1001-1900
  $ ./sluice machines put lathe --device esp32_lathe
  $ ./sluice machines role lathe sensor TEMPERATURA_BASE=0.01 SPINDLE_RPM=0.001`;

/** `sluice machines`: whose logs are aggregated. */
export function machinesCommand(): Command {
  const command = new Command("machines")
    .description("machines whose logs are aggregated: where they come from, and what their variables are for")
    .option("--json", "print JSON")
    .addHelpText("after", HELP)
    .action((flags: { json?: boolean }, self: Command) =>
      withDb(self, async (db) => {
        const machines = await listMachines(db);
        if (flags.json) printJson(machines);
        else for (const machine of machines) printLine(describe(machine));
      }),
    );
  command.addCommand(putCommand());
  command.addCommand(roleCommand());
  return command;
}

function putCommand(): Command {
  return new Command("put")
    .description("make a machine, or change it")
    .argument("<id>", "lower-case letters, digits and hyphens")
    .option("--name <text>", "what people call it")
    .option("--device <id>", "device whose telemetry is its log; none for the source database")
    .option(
      "--source-variables <ids>",
      "its ids in the source database, such as 1-99,447; all for all of them",
    )
    .addHelpText("after", "\nExample:\n  $ ./sluice machines put lathe --device esp32_lathe --name Lathe")
    .action(
      (id: string, flags: { name?: string; device?: string; sourceVariables?: string }, self: Command) => {
        if (!ID.test(id))
          throw new CommandError(`'${id}' is not 1-50 lower-case letters, digits and hyphens`, 2);
        const { name, device, sourceVariables } = flags;
        const change = {
          machineId: id,
          ...(name !== undefined && { name }),
          ...(device !== undefined && { device: device === "none" ? null : device }),
          ...(sourceVariables !== undefined && { sourceVariables: idsOf(sourceVariables) }),
        };
        return withDb(self, async (db) => {
          await putMachine(db, change);
          const machine = (await listMachines(db)).find(({ machineId }) => machineId === id);
          if (machine) printLine(describe(machine));
        });
      },
    );
}

function roleCommand(): Command {
  return new Command("role")
    .description("say which variables of a machine are for what, where that is not as usual")
    .argument("<id>", "the machine")
    .addArgument(new Argument("<role>", "what for").choices(ROLES))
    .argument("[variables...]", "name or id, with =factor; without any as usual again")
    .addHelpText("after", "\nExample:\n  $ ./sluice machines role lathe motor SPINDLE_LOAD_1=15")
    .action((id: string, role: MachineRole, variables: string[], _flags: object, self: Command) =>
      withDb(self, async (db) => {
        const machines = await listMachines(db);
        if (!machines.some(({ machineId }) => machineId === id))
          throw new CommandError(`there is no machine '${id}'`);
        await putMachineRole(db, id, role, variables.map(variableOf));
      }),
    );
}

function variableOf(text: string): { variable: string; factor: number } {
  const [, variable = text, factor = "1"] = /^(.+)=([^=]+)$/.exec(text) ?? [];
  if (!Number.isFinite(Number(factor)))
    throw new CommandError(`'${text}': the factor after = is a number, such as 0.01`, 2);
  return { variable, factor: Number(factor) };
}

const MOST_IDS = 100_000;

function idsOf(text: string): number[] | null {
  if (text === "all") return null;
  const ids = text.split(",").flatMap((part) => {
    const [, first, last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part.trim()) ?? [];
    const length = Number(last) - Number(first) + 1;
    if (!(length >= 1 && length <= MOST_IDS))
      throw new CommandError(`'${part}' is no id or range of ids such as 1-99`, 2);
    return Array.from({ length }, (_, i) => Number(first) + i);
  });
  return [...new Set(ids)];
}

function describe({ machineId, name, device, sourceVariables, named }: Machine): string {
  const from = device !== null ? `device ${printable(device)}` : "the source database";
  const which = device === null && sourceVariables !== null ? `, ${sourceVariables.length} variables` : "";
  const roles = named.map(({ role, variable, factor }) => `${role} ${printable(variable)} × ${factor}`);
  const said = name === null ? "" : `${printable(name)}, `;
  return `${machineId}  ${said}from ${from}${which}${roles.length > 0 ? `; ${roles.join(", ")}` : ""}`;
}
