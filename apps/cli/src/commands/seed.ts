import { seedVarieties } from "@sluice/db";
import { Command } from "commander";
import { connectFor } from "../installation.ts";
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
        const db = await connectFor(self).openDb();
        try {
          const added = await seedVarieties(db);
          if (json) printJson(added);
          else printLine(`${added.varieties} varieties and ${added.stages} growth stages added`);
        } finally {
          await db.close();
        }
      }),
  );
  return command;
}
