import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { disablePack, enablePack, listEnabledPacks } from "@sluice/db";
import { grafanaName, type Pack, toGrafanaDashboard } from "@sluice/packs";
import Table from "cli-table3";
import { Command } from "commander";
import { CommandError } from "../command-error.ts";
import { ROOT } from "../environment.ts";
import { withDb } from "../installation.ts";
import { printJson, printLine } from "../output.ts";
import { getPack, listPacks, packsFolder } from "../packs/find-pack.ts";

const HELP = `
A pack is a folder with pack.json, simulator.json and dashboards/*.json, below packs/ or SLUICE_PACKS_DIR. Enabling one
again brings it up to date. See docs/packs.md.

Examples:
  $ ./sluice packs list
  $ ./sluice packs show water-network
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
      .addHelpText("after", "\nExample:\n  $ ./sluice packs list")
      .action(list),
  );
  command.addCommand(
    new Command("show")
      .description("what is in a pack: sensor types, jobs, alert rules, dashboards, simulated devices")
      .argument("<pack>", "name of a pack")
      .option("--json", "print JSON")
      .addHelpText("after", "\nExample:\n  $ ./sluice packs show water-network")
      .action(async (name: string, { json }: { json?: boolean }) => {
        const pack = await getPack(name);
        if (json) printJson(pack);
        else show(pack);
      }),
  );
  command.addCommand(
    new Command("grafana")
      .description("write the dashboards of packs as Grafana reads them from a folder")
      .argument("[packs...]", "names of packs (default: all)")
      .option("--to <folder>", "where to", join(ROOT, "deploy/grafana/dashboards"))
      .addHelpText("after", "\nExample:\n  $ ./sluice packs grafana cea --to /var/lib/grafana/dashboards")
      .action(async (names: string[], { to }: { to: string }) => {
        const packs = names.length === 0 ? await listPacks() : await Promise.all(names.map(getPack));
        await mkdir(to, { recursive: true });
        for (const pack of packs) {
          for (const dashboard of pack.dashboards) {
            const file = join(to, `${grafanaName(pack, dashboard)}.json`);
            await writeFile(file, `${JSON.stringify(toGrafanaDashboard(pack, dashboard), null, 2)}\n`);
            printLine(file);
          }
        }
      }),
  );
  command.addCommand(
    new Command("enable")
      .description("put a pack to use, or bring it up to date")
      .argument("<pack>", "name of a pack")
      .addHelpText("after", "\nExample:\n  $ ./sluice packs enable water-network")
      .action(async (name: string, _options: object, self: Command) => {
        const pack = await getPack(name);
        await withDb(self, (db) => enablePack(db, pack));
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
      .addHelpText("after", "\nExample:\n  $ ./sluice packs disable water-network")
      .action(async (name: string, _options: object, self: Command) => {
        const done = await withDb(self, (db) => disablePack(db, name));
        if (!done) throw new CommandError(`no pack "${name}" is enabled`);
        printLine(`${name} is disabled`);
      }),
  );
  return command;
}

function show({ title, description, sensorTypes, jobs, alertRules, dashboards, simulator }: Pack): void {
  const section = (name: string, lines: readonly string[]) => {
    if (lines.length > 0) printLine(`\n${name}\n${lines.map((line) => `  ${line}`).join("\n")}`);
  };
  const range = (min = "", max = "") => (min + max === "" ? "" : ` ${min}..${max}`);
  printLine(`${title}: ${description}`);
  section(
    "sensor types",
    sensorTypes.map(
      ({ name, fields, unit, min, max }) =>
        `${name}${range(min?.toString(), max?.toString())} ${unit}: ${fields.join(", ")}`,
    ),
  );
  section(
    "jobs",
    jobs.map((job) => (typeof job === "string" ? job : `${job.name}, every ${job.bucket}, as data`)),
  );
  section(
    "alert rules",
    alertRules.map(({ name, severity, condition }) => `${name} (${condition}, ${severity})`),
  );
  section(
    "dashboards",
    dashboards.map((dashboard) => `${dashboard.title}: ${dashboard.panels.map((p) => p.title).join(", ")}`),
  );
  section(
    "simulated devices",
    simulator.devices.map(({ id, count, type }) => `${count} x ${id} (${type})`),
  );
}

async function list({ json }: { json?: boolean }, self: Command): Promise<void> {
  const packs = await listPacks();
  const enabled = await withDb(self, listEnabledPacks);
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
