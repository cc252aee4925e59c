import { type ConnectionRefusal, findTracedDevice, listConnectionRefusals } from "@sluice/db";
import Table from "cli-table3";
import { Argument, Command } from "commander";
import { pc } from "../colours.ts";
import { deviceIdArgument } from "../id-argument.ts";
import { withDb } from "../installation.ts";
import { integerBetween } from "../number-argument.ts";
import { formatDuration, printable, printJson, printLine } from "../output.ts";
import { sinceArgument } from "../time-argument.ts";

const HELP = `
Connections, subscriptions and requests that were turned away before a message of theirs was looked at: one line for each
reason and sender, kept for 30 days. Messages that were refused are in ./sluice quarantine.

Examples:
  $ ./sluice devices refusals --since 1h
  $ ./sluice devices refusals greenhouse-1 --json`;

interface Options {
  since?: Date;
  limit: number;
  json?: boolean;
}

/** `sluice devices refusals`: who was turned away, and why. */
export function refusalsCommand(): Command {
  return new Command("refusals")
    .description("who was turned away: wrong secrets, client ids, topics; how often and since when")
    .addArgument(
      new Argument("[id]", "only who gave this device's id or user name").argParser(deviceIdArgument),
    )
    .option(
      "--since <time>",
      "refused since: 30m, 2h, 7d ago (default: 1d), or an ISO 8601 time",
      sinceArgument,
    )
    .option("--limit <n>", "at most so many", integerBetween(1, 10_000), 50)
    .option("--json", "print JSON")
    .addHelpText("after", HELP)
    .action((id: string | undefined, { since, limit, json }: Options, command: Command) =>
      withDb(command, async (db) => {
        const username = id === undefined ? undefined : (await findTracedDevice(db, id))?.username;
        const of = id === undefined ? undefined : [id, ...(username ? [username] : [])];
        const rows = await listConnectionRefusals(db, { since: since ?? sinceArgument("1d"), of, limit });
        if (json) printJson(rows);
        else printTable(rows);
      }),
    );
}

function printTable(rows: readonly ConnectionRefusal[]): void {
  if (rows.length === 0) {
    printLine("nobody was turned away");
    return;
  }
  const table = new Table({
    head: ["last", "first", "times", "by", "reason", "detail"],
    style: { head: [], border: [] },
  });
  const ago = (at: Date) => `${formatDuration(Math.max(0, Date.now() - at.getTime()))} ago`;
  for (const { lastAt, firstAt, times, source, reason, detail } of rows)
    table.push([ago(lastAt), ago(firstAt), times, source, pc.yellow(reason), printable(detail, 100)]);
  printLine(table.toString());
}
