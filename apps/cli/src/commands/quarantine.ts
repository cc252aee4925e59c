import { readFileSync } from "node:fs";
import {
  countQuarantine,
  discardQuarantined,
  fixQuarantined,
  getQuarantined,
  listQuarantine,
  type Quarantined,
  type QuarantineFilter,
  type QuarantineStatus,
} from "@sluice/db";
import { type ReplayReport, rebuildMessage, replayRefusals } from "@sluice/quarantine";
import { DEFAULT_CLOCK_POLICY, REASONS } from "@sluice/shared-types";
import Table from "cli-table3";
import { Command, Option } from "commander";
import { pc } from "../colours.ts";
import { CommandError } from "../command-error.ts";
import { deviceIdArgument, typeArgument } from "../id-argument.ts";
import { connectFor, partitionCount, withDb } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { integerBetween } from "../number-argument.ts";
import { formatDuration, note, printable, printJson, printLine } from "../output.ts";
import { sinceArgument } from "../time-argument.ts";

const WAITING: readonly QuarantineStatus[] = ["open", "fixed"];

interface Filters {
  reason?: string;
  device?: string;
  since?: Date;
  limit: number;
  json?: boolean;
}
interface Choice extends Filters {
  all?: boolean;
  dryRun?: boolean;
}

/** `sluice quarantine`: what was refused. */
export function quarantineCommand(): Command {
  const quarantine = new Command("quarantine")
    .description("messages that were refused: list, show, fix, replay, discard")
    .addHelpText(
      "after",
      "\nConnections that were refused: ./sluice devices refusals.\n\nExamples:\n  $ ./sluice quarantine list --since 1h\n  $ ./sluice quarantine replay 17",
    );
  for (const command of [list(), show(), fix(), replay(), discard()]) quarantine.addCommand(command);
  return quarantine;
}

const withFilters = (command: Command, limit: number) =>
  command
    .addOption(new Option("--reason <code>", "of this reason").choices(REASONS))
    .option("--device <id>", "of this device", deviceIdArgument)
    .option("--since <time>", "refused since: 30m, 2h, 7d ago, or an ISO 8601 time", sinceArgument)
    .option("--limit <n>", "at most so many", integerBetween(1, 1_000_000), limit)
    .option("--json", "print JSON");

const filterOf = ({ reason, device, since }: Filters): QuarantineFilter => ({
  ...(reason === undefined ? {} : { reason }),
  ...(device === undefined ? {} : { device }),
  ...(since === undefined ? {} : { since }),
});

function list(): Command {
  return withFilters(new Command("list").description("refusals, the newest first"), 50)
    .addOption(
      new Option("--status <status>", "default: what waits").choices([
        "open",
        "fixed",
        "replayed",
        "discarded",
        "any",
      ]),
    )
    .addHelpText(
      "after",
      "\nExample:\n  $ ./sluice quarantine list --reason type_conflict --device greenhouse-1",
    )
    .action(async (options: Filters & { status?: QuarantineStatus | "any" }, command: Command) => {
      const { status: wanted } = options;
      const status = wanted === "any" ? undefined : wanted === undefined ? WAITING : [wanted];
      const filter = { ...filterOf(options), ...(status ? { status } : {}) };
      const { rows, counts } = await withDb(command, async (db) => ({
        rows: await listQuarantine(db, filter, { limit: options.limit }),
        counts: await countQuarantine(db, filter),
      }));
      if (options.json) {
        printJson(rows.map(toJson));
        return;
      }
      printTable(rows);
      const total = counts.reduce((sum, { count }) => sum + count, 0);
      const reasons = counts.map(({ reason, count }) => `${count} ${reason}`).join(", ");
      printLine(total === 0 ? "nothing in quarantine" : `${rows.length} of ${total}: ${reasons}`);
    });
}

function show(): Command {
  return new Command("show")
    .description("one refusal with the bytes as they were sent")
    .argument("<id>", "number of the refusal", idArgument)
    .option("--json", "print JSON; the payload also as base64")
    .addHelpText("after", "\nExample:\n  $ ./sluice quarantine show 17")
    .action(async (id: number, options: { json?: boolean }, command: Command) => {
      const row = await withDb(command, (db) => getQuarantined(db, id));
      if (options.json) {
        printJson({ ...toJson(row), payloadBase64: row.payload.toString("base64") });
        return;
      }
      const { payload, ...fields } = toJson(row);
      for (const [name, value] of Object.entries(fields)) {
        if (value !== null) printLine(`${name.padEnd(12)} ${printable(String(value), 1000)}`);
      }
      printLine(`payload      ${printable(payload, 10_000)}`);
    });
}

function fix(): Command {
  return new Command("fix")
    .description("replace the payload of a refusal, the device it is of, or its type; then replay it")
    .argument("<id>", "number of the refusal", idArgument)
    .addOption(new Option("--payload <json>", "new payload").conflicts("payloadFile"))
    .option("--payload-file <file>", "file with the new payload; - is standard input")
    .option("--device <id>", "the device it is of", deviceIdArgument)
    .option("--type <type>", "its message type", typeArgument)
    .option("--dry-run", "only check the new payload")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nThe former payload is kept in audit.events.\n\nExample:\n  $ ./sluice quarantine fix 17 --payload '{\"temperature\": 21.5}'",
    )
    .action(fixOne);
}

interface FixOptions {
  payload?: string;
  payloadFile?: string;
  device?: string;
  type?: string;
  dryRun?: boolean;
  json?: boolean;
}

async function fixOne(id: number, options: FixOptions, command: Command): Promise<void> {
  const { device, type } = options;
  const payload = options.payloadFile === undefined ? options.payload : readPayload(options.payloadFile);
  if (payload === undefined && device === undefined && type === undefined) {
    throw new CommandError("nothing to fix: give --payload, --payload-file, --device or --type", 2);
  }
  const { topicRoot } = connectFor(command);
  await withDb(command, async (db) => {
    const row = await getQuarantined(db, id);
    const fixed: Quarantined = {
      ...row,
      device: device ?? row.device,
      type: type ?? row.type,
      ...(payload === undefined ? {} : { payload: Buffer.from(payload), truncated: false }),
    };
    const rebuilt = rebuildMessage(fixed, {
      topicRoot,
      clock: DEFAULT_CLOCK_POLICY,
      timeZoneOf: () => undefined,
      replace: false,
    });
    if ("why" in rebuilt) throw new CommandError(`not changed: ${rebuilt.why}`);
    if (!options.dryRun) {
      await fixQuarantined(db, id, {
        ...(payload === undefined ? {} : { payload }),
        ...(device === undefined ? {} : { device }),
        ...(type === undefined ? {} : { type }),
      });
    }
  });
  if (options.json) printJson({ id, fixed: !options.dryRun, dryRun: options.dryRun === true });
  else
    printLine(
      options.dryRun ? `${id} could be replayed like this` : `${id} fixed: ./sluice quarantine replay ${id}`,
    );
}

function readPayload(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    throw new CommandError(`--payload-file ${path}: ${(cause as Error).message}`, 1, { cause });
  }
}

const withChoice = (command: Command) =>
  withFilters(command.argument("[ids...]", "numbers of the refusals", idsArgument), 10_000)
    .option("--all", "all that wait")
    .option("--dry-run", "only say what would be done");

function replay(): Command {
  return withChoice(
    new Command("replay").description("put refusals back onto the bus, under their first identity"),
  )
    .option("--replace", "let them replace what is stored (corrections)")
    .addHelpText(
      "after",
      `
Times, device, boot and seq are those of the first arrival, so replaying twice stores once. Messages whose sender
was not trusted are left out unless their ids or --reason name them. Exit code 1 if one could not be replayed.

Examples:
  $ ./sluice quarantine replay 17 18
  $ ./sluice quarantine replay --reason type_conflict --since 1d --dry-run`,
    )
    .action(async (ids: number[], options: Choice & { replace?: boolean }, command: Command) => {
      const filter = choose(ids, options);
      const connection = connectFor(command);
      const bus = await connection.openBus();
      try {
        const report = await withDb(command, (db) =>
          interruptible((signal) =>
            replayRefusals(bus, db, filter, {
              limit: options.limit,
              topicRoot: connection.topicRoot,
              partitions: partitionCount(),
              replace: options.replace === true,
              named: ids.length > 0,
              trust: options.reason !== undefined,
              dryRun: options.dryRun === true,
              signal,
            }),
          ),
        );
        printReplay(report, ids, options);
      } finally {
        await bus.close();
      }
    });
}

function printReplay(report: ReplayReport, ids: readonly number[], options: Choice): void {
  const handled = new Set([...report.replayed, ...report.skipped.map(({ id }) => id)]);
  const gone = ids.filter((id) => !handled.has(id));
  if (options.json) printJson({ dryRun: options.dryRun === true, ...report, notWaiting: gone });
  else printLine(`${report.replayed.length} ${options.dryRun ? "would be replayed" : "replayed"}`);
  if (!options.json) {
    for (const { id, reason, why } of report.skipped) note(`${id} (${reason}): ${why}`);
    for (const id of gone) note(`${id}: not waiting in quarantine`);
  }
  if (report.skipped.length > 0) process.exitCode = 1;
}

function discard(): Command {
  return withChoice(new Command("discard").description("put refusals aside; their rows stay"))
    .addHelpText("after", "\nExample:\n  $ ./sluice quarantine discard --reason not_json --since 7d")
    .action(async (ids: number[], options: Choice, command: Command) => {
      const filter = { ...choose(ids, options), status: WAITING };
      const discarded = await withDb(command, async (db) => {
        const rows = await listQuarantine(db, filter, { limit: options.limit, oldestFirst: true });
        const found = rows.map(({ id }) => id);
        return options.dryRun ? found : discardQuarantined(db, found);
      });
      if (options.json) printJson({ dryRun: options.dryRun === true, discarded });
      else printLine(`${discarded.length} ${options.dryRun ? "would be discarded" : "discarded"}`);
    });
}

/** Which refusals are meant. @throws CommandError where nothing says which */
function choose(ids: readonly number[], options: Choice): QuarantineFilter {
  const filter = filterOf(options);
  if (ids.length > 0) return { ...filter, ids };
  if (!options.all && Object.keys(filter).length === 0) {
    throw new CommandError("say which: ids, --reason, --device, --since, or --all", 2);
  }
  return filter;
}

function toJson({ receivedUs, receivedAt, payload, ...row }: Quarantined) {
  return { ...row, receivedAt: receivedAt.toISOString(), payload: payload.toString("utf8") };
}

function printTable(rows: readonly Quarantined[]): void {
  if (rows.length === 0) return;
  const table = new Table({
    head: ["id", "received", "reason", "device", "status", "detail"],
    style: { head: [], border: [] },
  });
  for (const row of rows) {
    const ago = formatDuration(Math.max(0, Date.now() - row.receivedAt.getTime()));
    const device = printable(row.device ?? "-", 64);
    table.push([row.id, `${ago} ago`, pc.yellow(row.reason), device, row.status, printable(row.detail, 60)]);
  }
  printLine(table.toString());
}

const idArgument = integerBetween(1, Number.MAX_SAFE_INTEGER);
const idsArgument = (text: string, before: number[] = []): number[] => [...before, idArgument(text)];
