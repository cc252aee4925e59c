import { setTimeout as delay } from "node:timers/promises";
import type { Bus, GroupLedger } from "@sluice/bus";
import Table from "cli-table3";
import { Command } from "commander";
import { pc } from "../colours.ts";
import { connectFor, streamsOf } from "../installation.ts";
import { note, printJson, printLine } from "../output.ts";

const COUNTS = ["accepted", "stored", "duplicate", "quarantined", "pending", "unread", "parked"] as const;
type Balance = Record<(typeof COUNTS)[number], number> & { balanced: boolean };

const HELP = `
Unit: message. accepted = stored + duplicate + quarantined + pending + unread + parked, or the ledger is
unbalanced and the exit code is 1. parked: moved to PostgreSQL for a group that lags, written when it is back. --json prints one object, a key per consumer group of the telemetry stream; what the
door refused is under "rejected" (its messages end as quarantined):
  { "postgres": { "accepted", "stored", "duplicate", "quarantined", "pending", "unread", "parked", "balanced" }, … }

Example:
  $ ./sluice ledger --json`;

/** `sluice ledger`: the balance of every consumer group. */
export function ledgerCommand(): Command {
  return new Command("ledger")
    .description("what became of every accepted message, per consumer group; exit code 1 when unbalanced")
    .option("--json", "print JSON")
    .addHelpText("after", HELP)
    .action(async (options: { json?: boolean }, command: Command) => {
      const bus = await connectFor(command).openBus();
      try {
        const ledger = await readSettled(bus);
        if (options.json) printJson(ledger);
        else printTable(ledger);
        const wrong = Object.entries(ledger).filter(([, { balanced }]) => !balanced);
        for (const [group, balance] of wrong)
          note(`sluice: the ledger of ${group} is off by ${difference(balance)} messages`);
        if (wrong.length > 0) process.exitCode = 1;
      } finally {
        await bus.close();
      }
    });
}

/** The numbers of several servers are not of one instant: an imbalance counts only when it stays. */
async function readSettled(bus: Bus): Promise<Record<string, Balance>> {
  let ledger = await readBalances(bus);
  for (let i = 0; i < 3 && Object.values(ledger).some(({ balanced }) => !balanced); i++) {
    await delay(300);
    ledger = await readBalances(bus);
  }
  return ledger;
}

async function readBalances(bus: Bus): Promise<Record<string, Balance>> {
  const ledger: Record<string, Balance> = {};
  for (const stream of streamsOf("telemetry")) {
    for (const row of await bus.ledger(stream)) ledger[row.group] = add(ledger[row.group], row);
  }
  for (const stream of streamsOf("rejected")) {
    for (const row of await bus.ledger(stream)) ledger.rejected = add(ledger.rejected, row);
  }
  return ledger;
}

function add(sum: Balance | undefined, row: GroupLedger): Balance {
  const counts = Object.fromEntries(COUNTS.map((name) => [name, (sum?.[name] ?? 0) + row[name]]));
  return {
    ...(counts as Record<(typeof COUNTS)[number], number>),
    balanced: (sum?.balanced ?? true) && row.balanced,
  };
}

const difference = (b: Balance) =>
  b.accepted - b.stored - b.duplicate - b.quarantined - b.pending - b.unread - b.parked;

function printTable(ledger: Record<string, Balance>): void {
  const groups = Object.entries(ledger);
  if (groups.length === 0) {
    printLine("no consumer group has read anything yet");
    return;
  }
  const table = new Table({ head: ["group", ...COUNTS, "balanced"], style: { head: [], border: [] } });
  for (const [group, balance] of groups) {
    const state = balance.balanced ? pc.green("yes") : pc.red(`NO, off by ${difference(balance)}`);
    table.push([
      group,
      ...COUNTS.map((name) => ({ content: String(balance[name]), hAlign: "right" as const })),
      state,
    ]);
  }
  printLine(table.toString());
}
