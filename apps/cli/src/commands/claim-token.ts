import { createClaimToken, listClaimTokens, revokeClaimToken } from "@sluice/db";
import Table from "cli-table3";
import { Command } from "commander";
import { pc } from "../colours.ts";
import { deviceIdArgument } from "../id-argument.ts";
import { withDb } from "../installation.ts";
import { durationUpTo, integerBetween } from "../number-argument.ts";
import { note, printable, printJson, printLine } from "../output.ts";

interface CreateOptions {
  uses: number;
  expires: number;
  prefix?: string;
  type?: string;
  json?: boolean;
}

const EXAMPLES = `
A device connects as user "claim" with the token as its password, subscribes to {root}/discovery/response/ID and
publishes {} to {root}/discovery/register/ID; the answer has its own user name, password and API key.

Examples:
  $ ./sluice devices claim-token --uses 50 --expires 7d --prefix greenhouse-
  $ ./sluice devices claim-token --list
  $ ./sluice devices claim-token --revoke 3`;

/** `sluice devices claim-token`: let devices register themselves. */
export function claimTokenCommand(): Command {
  return new Command("claim-token")
    .description("make a token with which devices register themselves; it is printed once and kept nowhere")
    .option("--uses <count>", "how many devices it may register", integerBetween(1, 1_000_000), 1)
    .option("--expires <duration>", "how long it is good", durationUpTo("365d"), 86_400_000)
    .option("--prefix <text>", "only for device ids that begin so", deviceIdArgument)
    .option("--type <type>", "kind of the devices, e.g. esp32")
    .option("--list", "show the tokens there are, without their text")
    .option("--revoke <id>", "end a token; its devices stay", integerBetween(1, 2_147_483_647))
    .option("--json", "print JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (options: CreateOptions & { list?: boolean; revoke?: number }, command: Command) => {
      await withDb(command, async (db, { pepper }) => {
        if (options.list) return printTokens(await listClaimTokens(db), options.json);
        if (options.revoke !== undefined) {
          await revokeClaimToken(db, options.revoke);
          return options.json ? printJson({ id: options.revoke, revoked: true }) : printLine("ended");
        }
        const { uses, expires, prefix, type } = options;
        const made = await createClaimToken(db, pepper(), {
          uses,
          lifeMs: expires,
          ...(prefix === undefined ? {} : { devicePrefix: prefix }),
          ...(type === undefined ? {} : { deviceType: type }),
        });
        if (options.json) return printJson(made);
        printLine(`token    ${made.token}\nexpires  ${made.expiresAt.toISOString()}\nuses     ${uses}`);
        note(pc.dim("It is shown once and kept nowhere."));
      });
    });
}

function printTokens(tokens: Awaited<ReturnType<typeof listClaimTokens>>, json: boolean | undefined): void {
  if (json) {
    printJson(tokens);
    return;
  }
  const table = new Table({ head: ["id", "used", "for", "type", "state"], style: { head: [], border: [] } });
  for (const t of tokens) {
    const state =
      t.revokedAt !== null
        ? "revoked"
        : t.expiresAt.getTime() < Date.now()
          ? "expired"
          : `good until ${t.expiresAt.toISOString()}`;
    table.push([t.id, `${t.used} of ${t.maxUses}`, `${t.devicePrefix}…`, printable(t.deviceType), state]);
  }
  printLine(tokens.length === 0 ? "no claim tokens" : table.toString());
}
