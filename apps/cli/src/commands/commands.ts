import { setTimeout as delay } from "node:timers/promises";
import { announceCommands } from "@sluice/bus";
import {
  createCommand,
  createFleetCommand,
  type Db,
  type Command as DeviceCommand,
  listCommands,
  writeAudit,
} from "@sluice/db";
import { NotFoundError } from "@sluice/shared-types";
import Table from "cli-table3";
import { Command, InvalidArgumentError, Option } from "commander";
import { pc } from "../colours.ts";
import { CommandError } from "../command-error.ts";
import { deviceIdArgument, typeArgument } from "../id-argument.ts";
import { connectFor, withDb } from "../installation.ts";
import { durationUpTo, integerBetween } from "../number-argument.ts";
import { printable, printJson, printLine } from "../output.ts";

interface SendOptions {
  group?: boolean;
  payload: object;
  expires: number;
  priority: number;
  wait?: number;
  json?: boolean;
}
interface ListOptions {
  device?: string;
  group?: string;
  status?: DeviceCommand["status"];
  limit: number;
  json?: boolean;
}

const STATES = ["pending", "sent", "delivered", "executed", "failed", "timeout"] as const;
const LOOK_MS = 200;
const OPEN: readonly string[] = ["pending", "sent"];

/** `sluice commands`: commands to devices. */
export function commandsCommand(): Command {
  const command = new Command("commands")
    .description("commands to devices: send, list")
    .addHelpText(
      "after",
      "\nExample:\n  $ ./sluice commands send esp32_001 led --payload '{\"on\":true}' --wait 10s",
    );
  command.addCommand(sendCommand());
  command.addCommand(listCommand());
  return command;
}

const SEND_HELP = `
It is kept, and sent once: now, or when the device listens, until it expires. Exit code 1 where --wait ends without
a word of the device, or with a failure.

Examples:
  $ ./sluice commands send esp32_001 led --payload '{"on":true}'
  $ ./sluice commands send esp32_001 reboot --expires 1h --wait 30s
  $ ./sluice commands send greenhouse firmware --group --payload '{"url":"…"}'`;

function sendCommand(): Command {
  return new Command("send")
    .description("send a command to a device, or to every device of a group")
    .argument(
      "<device>",
      "device id, or with --group the group's name; the group 'all' is every device",
      deviceIdArgument,
    )
    .argument("<type>", "last level of its topic: …/commands/{type}", typeArgument)
    .option("--payload <json>", "what it says, a JSON object", payloadArgument, {})
    .option("--group", "it is for a group")
    .option("--expires <duration>", "how long it may wait for its device", durationUpTo("30d"), 300_000)
    .option("--priority <n>", "1 is the most urgent", integerBetween(1, 10), 5)
    .option("--wait <duration>", "wait for what the device says", durationUpTo("1h"))
    .option("--json", "print JSON")
    .addHelpText("after", SEND_HELP)
    .action(async (target: string, type: string, options: SendOptions, self: Command) => {
      const connection = connectFor(self);
      const [db, bus] = await Promise.all([connection.openDb(), connection.openBus()]);
      try {
        const sent = await make(db, target, type, options);
        await announceCommands(bus, { devices: sent.map(({ device }) => device) });
        const now = options.wait === undefined ? sent : await wait(db, sent, options.wait);
        print(now, options.json);
        const silent = now.some(({ status }) => status !== "executed" && status !== "delivered");
        if (options.wait !== undefined && silent) process.exitCode = 1;
      } catch (error) {
        if (error instanceof NotFoundError) throw new CommandError(error.message, 1, { cause: error });
        throw error;
      } finally {
        await Promise.all([db.close(), bus.close()]);
      }
    });
}

async function make(db: Db, target: string, type: string, options: SendOptions): Promise<DeviceCommand[]> {
  const { payload, priority, expires: lifeMs } = options;
  const wanted = { type, payload, priority, lifeMs, source: "cli" as const };
  const sent = options.group
    ? await createFleetCommand(db, { group: target, ...wanted })
    : [await createCommand(db, { device: target, ...wanted })];
  const entityType = options.group ? "fleet" : "device";
  const data = { by: "command line", type, command: sent[0]?.wireId };
  await writeAudit(db, { event: "command.sent", entityType, entityId: target, data });
  return sent;
}

/** The commands as they are when none of them is on its way any more, or when the time is over. */
async function wait(db: Db, sent: readonly DeviceCommand[], waitMs: number): Promise<DeviceCommand[]> {
  const untilMs = Date.now() + waitMs;
  const ids = new Set(sent.map(({ id }) => id));
  const first = Math.min(...ids);
  for (;;) {
    const newest = await listCommands(db, { beforeId: Math.max(...ids) + 1 }, Math.max(...ids) - first + 1);
    const now = newest.filter(({ id }) => ids.has(id)).reverse();
    const settled = now.every(
      ({ status, result }) => !OPEN.includes(status) && (status !== "delivered" || result),
    );
    if (settled || Date.now() > untilMs) return now;
    await delay(LOOK_MS);
  }
}

function listCommand(): Command {
  return new Command("list")
    .description("commands and how far they got, the newest first")
    .option("--device <id>", "of one device", deviceIdArgument)
    .option("--group <name>", "of one group", deviceIdArgument)
    .addOption(new Option("--status <status>", "in one state").choices(STATES))
    .option("--limit <n>", "how many", integerBetween(1, 1000), 20)
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ ./sluice commands list --device esp32_001 --status timeout")
    .action(async ({ limit, json, ...filter }: ListOptions, self: Command) => {
      print(await withDb(self, (db) => listCommands(db, filter, limit)), json);
    });
}

function print(commands: readonly DeviceCommand[], json: boolean | undefined): void {
  if (json) {
    printJson(commands);
    return;
  }
  const head = ["id", "device", "type", "status", "sent at", "what it says"];
  const table = new Table({ head, style: { head: [], border: [] } });
  for (const { wireId, device, type, status, issuedAt, result, error } of commands) {
    const said = error ?? (result === null || result === undefined ? "" : JSON.stringify(result));
    table.push([wireId, device, type, colour(status), issuedAt.toISOString(), printable(said, 60)]);
  }
  printLine(commands.length === 0 ? "no commands" : table.toString());
}

function colour(status: DeviceCommand["status"]): string {
  if (status === "failed" || status === "timeout") return pc.red(status);
  return status === "executed" || status === "delivered" ? pc.green(status) : status;
}

function payloadArgument(text: string): object {
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === "object" && json !== null && !Array.isArray(json)) return json;
  } catch {
    // said below
  }
  throw new InvalidArgumentError(`Allowed: a JSON object such as '{"on":true}'.`);
}
