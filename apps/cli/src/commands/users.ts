import {
  createApiKey,
  createSecret,
  createUser,
  type Db,
  findUserByEmail,
  LastAdminError,
  listApiKeys,
  listUsers,
  revokeApiKey,
  type Scope,
  UserExistsError,
  updateUser,
} from "@sluice/db";
import { NotFoundError } from "@sluice/shared-types";
import { Argument, Command, Option } from "commander";
import { CommandError } from "../command-error.ts";
import type { Connection } from "../connect.ts";
import { withDb } from "../installation.ts";
import { integerBetween } from "../number-argument.ts";
import { printable, printJson, printLine } from "../output.ts";

const ROLES = ["viewer", "operator", "admin"] as const;
type Json = { json?: boolean };

/** `sluice users`: people who may log in. */
export function usersCommand(): Command {
  const command = new Command("users")
    .description("people who may log in: add, list, password, role, disable, enable")
    .addHelpText("after", "\nExample:\n  $ ./sluice users add ada@example.org --role operator");
  command.addCommand(
    new Command("add")
      .description("add a person; the password is printed once and kept nowhere")
      .addHelpText("after", "\nExample:\n  $ ./sluice users add ada@example.org --role operator")
      .argument("<email>", "address", emailArgument)
      .addOption(new Option("--role <role>", "what they may do").choices(ROLES).default("viewer"))
      .option("--json", "print JSON")
      .action((email: string, options: { role: (typeof ROLES)[number] } & Json, self: Command) =>
        edit(self, async (db) => {
          const password = createSecret(20);
          const user = await createUser(db, { email, password, role: options.role });
          if (options.json) printJson({ id: user.id, email: user.email, role: user.role, password });
          else printLine(`email ${user.email}   role ${user.role}   password ${password}`);
        }),
      ),
  );
  command.addCommand(
    new Command("list")
      .description("everybody who may log in, with role and state")
      .addHelpText("after", "\nExample:\n  $ ./sluice users list")
      .option("--json", "print JSON")
      .action((options: Json, self: Command) =>
        withDb(self, async (db) => {
          const users = await listUsers(db);
          if (options.json) return printJson(users);
          for (const { email, role, status, lastLogin } of users) {
            printLine(
              `${printable(email)}  ${role}  ${status}  last login ${lastLogin?.toISOString() ?? "never"}`,
            );
          }
        }),
      ),
  );
  command.addCommand(
    change(
      "password",
      "make a new password, printed once; ends all sessions",
      async (db, id, email, self) => {
        const password = createSecret(20);
        await updateUser(db, id, { password });
        if (self.opts<{ json?: boolean }>().json) printJson({ id, email, password });
        else printLine(`email ${email}   password ${password}`);
      },
    ).option("--json", "print JSON"),
  );
  for (const [name, status] of [
    ["disable", "disabled"],
    ["enable", "active"],
  ] as const) {
    command.addCommand(
      change(name, `${name} a person; ends all sessions`, async (db, id) => {
        await updateUser(db, id, { status });
      }),
    );
  }
  command.addCommand(
    change("role", "give a person another role", async (db, id, _email, self) => {
      await updateUser(db, id, { role: self.args[1] as (typeof ROLES)[number] });
    }).addArgument(new Argument("<role>", "role").choices(ROLES)),
  );
  return command;
}

/** `sluice keys`: API keys of programs. */
export function keysCommand(): Command {
  const command = new Command("keys")
    .description("API keys of programs: add, list, revoke")
    .addHelpText("after", "\nExample:\n  $ ./sluice keys add grafana --scope read");
  command.addCommand(
    new Command("add")
      .description("make a key; it is printed once and kept nowhere")
      .addHelpText("after", "\nExample:\n  $ ./sluice keys add grafana --scope read --days 365")
      .argument("<name>", "what it is for")
      .addOption(
        new Option("--scope <scope>", "what it may do").choices(["read", "write", "admin"]).default("read"),
      )
      .option("--device <id...>", "only for these devices")
      .option("--days <n>", "how long it is good", integerBetween(1, 36_500))
      .option("--json", "print JSON")
      .action(
        (name: string, options: { scope: Scope; device?: string[]; days?: number } & Json, self: Command) =>
          edit(self, async (db, { pepper }) => {
            const expiresAt =
              options.days === undefined ? undefined : new Date(Date.now() + options.days * 86_400_000);
            const made = await createApiKey(db, pepper(), {
              name,
              scopes: [options.scope],
              devices: options.device,
              expiresAt,
            });
            if (options.json) printJson(made);
            else printLine(made.key);
          }),
      ),
  );
  command.addCommand(
    new Command("list")
      .description("all keys, without their secrets")
      .addHelpText("after", "\nExample:\n  $ ./sluice keys list")
      .option("--json", "print JSON")
      .action((options: Json, self: Command) =>
        withDb(self, async (db) => {
          const keys = await listApiKeys(db);
          if (options.json) return printJson(keys);
          for (const { id, name, prefix, scopes, expiresAt, revokedAt } of keys) {
            const state = revokedAt ? "revoked" : expiresAt ? `until ${expiresAt.toISOString()}` : "no end";
            printLine(`${id}  ${prefix}…  ${scopes.join(",")}  ${state}  ${printable(name)}`);
          }
        }),
      ),
  );
  command.addCommand(
    new Command("revoke")
      .description("make a key void, at once")
      .addHelpText("after", "\nExample:\n  $ ./sluice keys revoke 3")
      .argument("<id>", "number of the key", integerBetween(1, 2_147_483_647))
      .action((id: number, _options: object, self: Command) => edit(self, (db) => revokeApiKey(db, id))),
  );
  return command;
}

function change(
  name: string,
  description: string,
  work: (db: Db, id: number, email: string, self: Command) => Promise<void>,
): Command {
  return new Command(name)
    .description(description)
    .argument("<email>", "address", emailArgument)
    .addHelpText(
      "after",
      `\nExample:\n  $ ./sluice users ${name} ada@example.org${name === "role" ? " admin" : ""}`,
    )
    .action((email: string, ...rest: unknown[]) => {
      const self = rest.at(-1) as Command;
      return edit(self, async (db) => {
        const user = await findUserByEmail(db, email);
        if (!user) throw new CommandError(`there is no ${printable(email)}`);
        await work(db, user.id, user.email, self);
      });
    });
}

function emailArgument(text: string): string {
  if (/^[^\s@]{1,64}@[^\s@]{1,189}$/.test(text)) return text;
  throw new CommandError(`${printable(text, 64)} is no e-mail address`, 2);
}

/** Does `work`; what a user may do wrong there is told in a line. */
async function edit(
  command: Command,
  work: (db: Db, connection: Connection) => Promise<unknown>,
): Promise<void> {
  try {
    await withDb(command, work);
  } catch (error) {
    const known =
      error instanceof UserExistsError || error instanceof LastAdminError || error instanceof NotFoundError;
    if (!known) throw error;
    throw new CommandError((error as Error).message, 1, { cause: error });
  }
}
