import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { parse } from "yaml";

const ROOT = join(import.meta.dirname, "../../..");

/** The environment of every service of docker-compose.yml, filled in from `settings`, as Compose does. */
export function readComposeEnvironments(
  settings: Readonly<Record<string, string | undefined>>,
): Map<string, Record<string, string>> {
  const compose = parse(readFileSync(join(ROOT, "docker-compose.yml"), "utf8"), { merge: true }) as {
    services: Record<string, { environment?: Record<string, string> }>;
  };
  return new Map(
    Object.entries(compose.services).map(([name, { environment = {} }]) => [
      name,
      Object.fromEntries(
        Object.entries(environment).map(([key, value]) => [key, interpolate(value, settings)]),
      ),
    ]),
  );
}

/** `${NAME}`, and with what comes where it is unset or empty (`:-`), set (`:+`), or an error (`:?`). */
function interpolate(text: string, settings: Readonly<Record<string, string | undefined>>): string {
  return text.replaceAll(/\$\{(\w+)(?::([-+?])([^}]*))?\}/g, (_, name: string, sign?: string, more = "") => {
    const value = settings[name] ?? "";
    if (sign === "?" && value === "") throw new Error(`${name}: ${more}`);
    if (sign === "+") return value === "" ? "" : more;
    return sign === "-" && value === "" ? more : value;
  });
}

/** Runs deploy/make-env.sh in `folder`, and gives what it said and the .env it made. */
export function makeEnv(folder: string): { said: string; settings: Record<string, string | undefined> } {
  mkdirSync(join(folder, "deploy"), { recursive: true });
  cpSync(join(ROOT, "deploy/make-env.sh"), join(folder, "deploy/make-env.sh"));
  const { status, stdout, stderr } = spawnSync(join(folder, "deploy/make-env.sh"), { encoding: "utf8" });
  if (status !== 0) throw new Error(`make-env.sh: ${stderr}`);
  return { said: stdout, settings: parseEnv(readFileSync(join(folder, ".env"), "utf8")) };
}
