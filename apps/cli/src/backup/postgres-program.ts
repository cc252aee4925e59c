import { spawn } from "node:child_process";
import { getBinary } from "@sluice/servers";
import { CommandError } from "../command-error.ts";
import { environment } from "../environment.ts";

/**
 * Runs `pg_dump` or `pg_restore` on the database at `url`. The password goes through the environment: a command line
 * can be read by everybody on the machine. @throws CommandError with what the program said last
 */
export async function runPostgresProgram(
  name: "pg_dump" | "pg_restore",
  url: string,
  args: readonly string[],
): Promise<void> {
  const file = getBinary(name, "postgresql-client");
  const child = spawn(file, [...args], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { PATH: environment.PATH, HOME: environment.HOME, ...connectionVariables(url) },
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4_000);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0)
    throw new CommandError(`${name} failed (${code}): ${said.trim().split("\n").slice(-3).join(" | ")}`);
}

/** libpq's variables for a url; `sslmode` and the like go the same way. */
function connectionVariables(url: string): Record<string, string> {
  const { hostname, port, username, password, pathname, searchParams } = new URL(url);
  const variables: Record<string, string> = {
    PGHOST: hostname.replace(/^\[|\]$/g, ""),
    PGPORT: port || "5432",
    PGUSER: decodeURIComponent(username),
    PGPASSWORD: decodeURIComponent(password),
    PGDATABASE: decodeURIComponent(pathname.slice(1)),
    PGAPPNAME: "sluice-backup",
  };
  const tls = {
    sslmode: "PGSSLMODE",
    sslrootcert: "PGSSLROOTCERT",
    sslcert: "PGSSLCERT",
    sslkey: "PGSSLKEY",
  };
  for (const [parameter, variable] of Object.entries(tls)) {
    const value = searchParams.get(parameter);
    if (value !== null) variables[variable] = value;
  }
  return variables;
}
