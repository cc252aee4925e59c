import { disablePack, enablePack, listEnabledPacks } from "@sluice/db";
import Table from "cli-table3";
import { Command } from "commander";
import { CommandError } from "../command-error.ts";
import { connectFor } from "../installation.ts";
import { printJson, printLine } from "../output.ts";
import { getPack, listPacks, packsFolder } from "../packs/find-pack.ts";

const HELP = `
A pack is a folder with pack.json, simulator.json and dashboards/*.json, below packs/ or SLUICE_PACKS_DIR. Enabling one
again brings it up to date. See docs/packs.md.

Examples:
  $ ./sluice packs list
  $ ./sluice packs enable water-network
  $ ./sluice demo water`;

/** `sluice packs`: domains as folders of data. */
export function packsCommand(): Command {
  const command = new Command("packs")
    .description("domain packs: sensor types, ranges, alert rules, jobs and dashboards as data")
    .addHelpText("after", HELP);
  command.addCommand(
    new Command("list")
      .description("every pack, and which are enabled")
      .option("--json", "print JSON")
      .action(list),
  );
  command.addCommand(
    new Command("enable")
      .description("put a pack to use, or bring it up to date")
      .argument("<pack>", "name of a pack")
      .action(async (name: string, _options: object, self: Command) => {
        const pack = await getPack(name);
        const db = await connectFor(self).openDb();
        await enablePack(db, pack).finally(() => db.close());
        const fields = pack.sensorTypes.flatMap((type) => type.fields).length;
        printLine(
          `${pack.name} is enabled: ${pack.sensorTypes.length} sensor types for ${fields} fields, ` +
            `${pack.alertRules.length} alert rules, ${pack.jobs.length} jobs, ${pack.dashboards.length} dashboards`,
        );
      }),
  );
  command.addCommand(
    new Command("disable")
      .description("take a pack out of use; what it made stays")
      .argument("<pack>", "name of an enabled pack")
      .action(async (name: string, _options: object, self: Command) => {
        const db = await connectFor(self).openDb();
        const done = await disablePack(db, name).finally(() => db.close());
        if (!done) throw new CommandError(`no pack "${name}" is enabled`);
        printLine(`${name} is disabled`);
      }),
  );
  return command;
}

async function list({ json }: { json?: boolean }, self: Command): Promise<void> {
  const packs = await listPacks();
  const db = await connectFor(self).openDb();
  const enabled = await listEnabledPacks(db).finally(() => db.close());
  const since = new Map(enabled.map(({ name, enabledAt }) => [name, enabledAt.toISOString()]));
  const rows = packs.map(({ name, title, sensorTypes, jobs, dashboards, simulator }) => ({
    name,
    title,
    enabledAt: since.get(name) ?? null,
    sensorTypes: sensorTypes.length,
    jobs: jobs.map((job) => (typeof job === "string" ? job : job.name)),
    dashboards: dashboards.map((dashboard) => dashboard.name),
    devices: simulator.devices.reduce((sum, { count }) => sum + count, 0),
  }));
  if (json) {
    printJson({ folder: packsFolder(), packs: rows });
    return;
  }
  const table = new Table({
    head: ["pack", "enabled", "sensor types", "jobs", "dashboards", "demo devices"],
  });
  for (const row of rows) {
    table.push([
      row.name,
      row.enabledAt?.slice(0, 16).replace("T", " ") ?? "no",
      row.sensorTypes,
      row.jobs.join(", "),
      row.dashboards.join(", "),
      row.devices,
    ]);
  }
  printLine(table.toString());
}
