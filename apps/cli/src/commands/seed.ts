import { seedVarieties } from "@sluice/db";
import { Command } from "commander";
import { withDb } from "../installation.ts";
import { printJson, printLine } from "../output.ts";

/** `sluice seed`: reference data. */
export function seedCommand(): Command {
  const command = new Command("seed")
    .description("add reference data; what is there stays as it is")
    .addHelpText("after", "\nExample:\n  $ ./sluice seed varieties");
  command.addCommand(
    new Command("varieties")
      .description("crop varieties with what they want in each stage of growth")
      .option("--json", "print JSON")
      .addHelpText("after", "\nExample:\n  $ ./sluice seed varieties")
      .action(async ({ json }: { json?: boolean }, self: Command) => {
        const added = await withDb(self, seedVarieties);
        if (json) printJson(added);
        else printLine(`${added.varieties} varieties and ${added.stages} growth stages added`);
      }),
  );
  return command;
}
