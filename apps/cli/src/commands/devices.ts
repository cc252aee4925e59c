import {
  createDevice,
  type Device,
  DeviceExistsError,
  disableDevice,
  enableDevice,
  getDevice,
  listDevices,
  listSensors,
  listSequenceGaps,
  removeDevice,
  rotateDevice,
} from "@sluice/db";
import type { NewDevice } from "@sluice/shared-types";
import Table from "cli-table3";
import { Argument, Command } from "commander";
import { pc } from "../colours.ts";
import { CommandError } from "../command-error.ts";
import { deviceIdArgument, timeZoneArgument } from "../id-argument.ts";
import { withDb } from "../installation.ts";
import { durationUpTo } from "../number-argument.ts";
import { formatDuration, note, printable, printJson, printLine } from "../output.ts";
import { claimTokenCommand } from "./claim-token.ts";
import { purgeCommand } from "./purge-device.ts";
import { refusalsCommand } from "./refused-connections.ts";

const GAPS_SHOWN = 20;

interface Json {
  json?: boolean;
}

interface AddOptions {
  type?: string;
  name?: string;
  location?: string;
  timeZone?: string;
  ackStored?: boolean;
}

/** `sluice devices`: who may send. */
export function devicesCommand(): Command {
  const devices = new Command("devices")
    .description(
      "add, list, show, rotate, disable, enable and remove devices; who was turned away; delete readings",
    )
    .addHelpText("after", "\nExample:\n  $ ./sluice devices add greenhouse-1 --type esp32");
  for (const command of [
    add(),
    list(),
    show(),
    rotate(),
    ...changes(),
    purgeCommand(),
    claimTokenCommand(),
    refusalsCommand(),
  ])
    devices.addCommand(command);
  return devices;
}

const idArgument = () => new Argument("<id>", "device id").argParser(deviceIdArgument);

function add(): Command {
  return new Command("add")
    .description("register a device; its secrets are printed once and kept nowhere")
    .addArgument(idArgument())
    .option("--type <type>", "kind of device, e.g. esp32")
    .option("--name <name>", "name for people")
    .option("--location <text>", "where it is")
    .option("--time-zone <zone>", "IANA zone of times without an offset", timeZoneArgument)
    .option("--ack-stored", "acknowledge on its /ack topic once stored, not once accepted")
    .option("--json", "print JSON: { id, username, password, apiKey }")
    .addHelpText("after", "\nExample:\n  $ ./sluice devices add greenhouse-1 --type esp32 --json")
    .action(async (id: string, options: Json & AddOptions, command: Command) => {
      const { type, name, location, timeZone, ackStored } = options;
      const input = {
        id,
        ...(type === undefined ? {} : { type }),
        ...(name === undefined ? {} : { name }),
        ...(location === undefined ? {} : { location }),
        ...(timeZone === undefined ? {} : { timeZone }),
        ...(ackStored === undefined ? {} : { ackStored }),
      };
      try {
        printSecrets(await withDb(command, (db, { pepper }) => createDevice(db, pepper(), input)), options);
      } catch (error) {
        if (!(error instanceof DeviceExistsError)) throw error;
        throw new CommandError(`${error.message}; ./sluice devices rotate ${id} gives it new secrets`, 1, {
          cause: error,
        });
      }
    });
}

function list(): Command {
  return new Command("list")
    .description("all devices with their presence")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ ./sluice devices list")
    .action(async (options: Json, command: Command) => {
      const devices = await withDb(command, (db) => listDevices(db));
      if (options.json) {
        printJson(devices.map(withoutKey));
        return;
      }
      const table = new Table({
        head: ["id", "type", "access", "status", "last data", "sensors", "username"],
        style: { head: [], border: [] },
      });
      for (const d of devices) {
        table.push([
          d.id,
          printable(d.type),
          access(d),
          presence(d),
          ago(d.lastDataReceived),
          d.sensors,
          d.username ?? "-",
        ]);
      }
      printLine(devices.length === 0 ? "no devices yet: ./sluice devices add ID" : table.toString());
    });
}

function show(): Command {
  return new Command("show")
    .description("one device: presence, sensors with their newest reading, gaps in its sequence numbers")
    .addArgument(idArgument())
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ ./sluice devices show greenhouse-1")
    .action(async (id: string, options: Json, command: Command) => {
      const { device, sensors, gaps } = await withDb(command, async (db) => ({
        device: await getDevice(db, id),
        sensors: await listSensors(db, id),
        gaps: await listSequenceGaps(db, id, GAPS_SHOWN),
      }));
      if (options.json) {
        printJson({ ...withoutKey(device), sensors, gaps });
        return;
      }
      printLine(`${pc.bold(device.id)}  ${printable(device.type)}  ${access(device)}  ${presence(device)}`);
      printLine(`last data ${ago(device.lastDataReceived)}, last heartbeat ${ago(device.lastHeartbeat)}`);
      printLine(`clock ${clockOf(device)}`);
      const table = new Table({
        head: ["sensor", "value", "unit", "time", "status"],
        style: { head: [], border: [] },
      });
      for (const s of sensors) {
        const value = s.value === null ? "-" : printable(String(s.value), 40);
        table.push([printable(s.field), value, s.unit ?? "", s.time?.toISOString() ?? "-", s.status]);
      }
      printLine(sensors.length === 0 ? "no sensors yet" : table.toString());
      for (const gap of gaps) {
        const boot = gap.boot === "" ? "" : ` of boot ${printable(gap.boot, 64)}`;
        printLine(pc.yellow(`missing: seq ${gap.from} to ${gap.to}${boot} (${gap.missing} messages)`));
      }
      if (gaps.length === GAPS_SHOWN) printLine("… and possibly more, in the view device_sequence_gap");
    });
}

function rotate(): Command {
  return new Command("rotate")
    .description("give a device new secrets; the old ones stay good for the overlap")
    .addArgument(idArgument())
    .option("--overlap <duration>", "how long the old secrets stay good", durationUpTo("90d"), 86_400_000)
    .option("--json", "print JSON: { id, username, password, apiKey }")
    .addHelpText(
      "after",
      "\nThe overlap is 1d by default; 0 ends the old secrets now.\n\nExample:\n  $ ./sluice devices rotate greenhouse-1 --overlap 7d",
    )
    .action(async (id: string, options: Json & { overlap: number }, command: Command) => {
      const overlapMs = options.overlap;
      printSecrets(
        await withDb(command, (db, { pepper }) => rotateDevice(db, pepper(), id, { overlapMs })),
        options,
      );
    });
}

function changes(): Command[] {
  const kinds = [
    {
      verb: "disable",
      did: "disabled",
      change: disableDevice,
      about: "refuse a device until it is enabled again",
    },
    { verb: "enable", did: "enabled", change: enableDevice, about: "let a disabled device in again" },
    {
      verb: "remove",
      did: "removed",
      change: removeDevice,
      about: "take away a device's credential; its readings stay",
    },
  ] as const;
  return kinds.map(({ verb, did, change, about }) =>
    new Command(verb)
      .description(about)
      .addArgument(idArgument())
      .option("--json", "print JSON")
      .addHelpText("after", `\nExample:\n  $ ./sluice devices ${verb} greenhouse-1`)
      .action(async (id: string, options: Json, command: Command) => {
        await withDb(command, (db) => change(db, id));
        if (options.json) printJson({ id, [did]: true });
        else printLine(`${id} ${did}`);
      }),
  );
}

function printSecrets(device: NewDevice, { json }: Json): void {
  const { id, username, password, apiKey } = device;
  if (json) {
    printJson({ id, username, password, apiKey });
    return;
  }
  printLine(`device    ${id}\nusername  ${username}\npassword  ${password}\nAPI key   ${apiKey}`);
  note(pc.dim("These secrets are shown once and kept nowhere."));
}

const withoutKey = ({ deviceId: _, ...device }: Device) => device;

function access({ access }: Device): string {
  return access === "active"
    ? pc.green(access)
    : access === "disabled"
      ? pc.red(access)
      : pc.dim("no credential");
}

const CLOCKS: Record<string, string> = {
  age: "none of its own: it tells the age of its readings",
  none: "none: the server's time is taken",
  past: "is not set (before 2020): the server's time is taken",
  future: "is too far ahead: the server's time is taken",
  unparsable: "cannot be read: the server's time is taken",
};
const NOTICEABLE_MS = 1000;

function clockOf({ clock, clockSkewMs: skewMs }: Device): string {
  if (clock === null) return "not heard of";
  const other = CLOCKS[clock];
  if (other !== undefined) return pc.yellow(other);
  if (skewMs === null || Math.abs(skewMs) < NOTICEABLE_MS) return "agrees with the server's";
  return pc.yellow(`${formatDuration(Math.abs(skewMs))} ${skewMs > 0 ? "behind" : "ahead of"} the server's`);
}

const presence = ({ status }: Device) => (status === "online" ? pc.green(status) : pc.dim(status));

const ago = (time: Date | null) =>
  time === null ? "never" : `${formatDuration(Math.max(0, Date.now() - time.getTime()))} ago`;
