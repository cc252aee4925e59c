import { ensureRoles, findMissingMigrations, migrate, OWNER_ROLE, SERVICE_ROLES } from "@sluice/db";
import { createConfig, loadConfig } from "@sluice/service-kit";
import { Command } from "commander";
import { CommandError } from "../command-error.ts";
import { connect } from "../connect.ts";
import { environment } from "../environment.ts";

const EXAMPLES = `
Examples:
  $ ./sluice migrate
  $ ./sluice migrate --check
  $ DATABASE_URL=postgres://user:password@host/db ./sluice migrate --json

./sluice up migrates by itself. DATABASE_URL names an outside database; without it, the one of the data folder.

With DATABASE_ADMIN_URL, a superuser's, the owner and the least-privilege roles of the services are made first, or given
the passwords of SLUICE_ROLE_PASSWORDS: ${[OWNER_ROLE, ...SERVICE_ROLES].join("=…,")}=…`;

const Roles = createConfig("DATABASE_ADMIN_URL", "SLUICE_ROLE_PASSWORDS");

/** `sluice migrate`: bring the database up to this version. */
export function migrateCommand(): Command {
  return new Command("migrate")
    .description("bring the database up to this version")
    .option("--check", "change nothing; exit code 1 where a migration is missing")
    .option("--json", "print one JSON object")
    .addHelpText("after", EXAMPLES)
    .action(async (options: { check?: boolean; json?: boolean }, command: Command) => {
      const outside = environment.DATABASE_URL;
      const url = outside || connect(command.optsWithGlobals<{ dataDir?: string }>()).urls.postgres;
      if (options.check) return check(await findMissingMigrations(url), options.json === true);
      await makeRoles();
      const applied = await migrate(url);
      if (options.json) process.stdout.write(`${JSON.stringify({ applied })}\n`);
      else if (applied.length === 0) process.stdout.write("The database is up to date.\n");
      else process.stdout.write(`${applied.map((name) => `applied ${name}`).join("\n")}\n`);
    });
}

async function makeRoles(): Promise<void> {
  const { DATABASE_ADMIN_URL: adminUrl, SLUICE_ROLE_PASSWORDS: passwords } = loadConfig(Roles, environment);
  if (adminUrl === undefined) return;
  await ensureRoles(adminUrl, (role) => {
    const password = passwords.get(role);
    if (password === undefined)
      throw new CommandError(`SLUICE_ROLE_PASSWORDS has no password for ${role}: add ${role}=…`, 2);
    return password;
  });
}

function check(missing: readonly string[], json: boolean): void {
  if (json) process.stdout.write(`${JSON.stringify({ missing })}\n`);
  else if (missing.length === 0) process.stdout.write("The database is up to date.\n");
  else process.stdout.write(`missing: ${missing.join(", ")}\n`);
  if (missing.length > 0) process.exitCode = 1;
}
