import { readFileSync } from "node:fs";
import type { z } from "zod";
import { variables } from "./variables.ts";

/** Configuration that cannot be used: `message` lists every problem, one a line. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/**
 * Reads and checks the variables of `schema`. A variable that is empty counts as unset; `<NAME>_FILE` is
 * read where the variable itself is unset.
 * @throws ConfigError naming all problems at once
 */
export function loadConfig<T extends z.ZodObject>(
  schema: T,
  env: Record<string, string | undefined>,
): z.output<T> {
  const problems = unknownNames(env);
  const values: Record<string, string> = {};
  for (const name of Object.keys(schema.shape)) {
    const value = readVariable(name, env, problems);
    if (value !== undefined) values[name] = value;
  }
  const result = schema.safeParse(values);
  for (const issue of result.error?.issues ?? []) {
    const name = String(issue.path[0]);
    const missing = values[name] === undefined;
    problems.push(
      missing ? `${name} is missing` : `${name} ${issue.message}; it is ${mask(name, values[name] ?? "")}`,
    );
  }
  if (problems.length > 0 || !result.success) throw new ConfigError(problems.join("\n"));
  return result.data;
}

function readVariable(
  name: string,
  env: Record<string, string | undefined>,
  problems: string[],
): string | undefined {
  const own = env[name];
  if (own !== undefined && own.trim() !== "") {
    if (own !== own.trim()) problems.push(`${name} starts or ends with white space`);
    if (/^(".*"|'.*')$/.test(own)) problems.push(`${name} is in quotes: the shell or env file kept them`);
    return own;
  }
  const file = env[`${name}_FILE`];
  if (file === undefined || file === "") return undefined;
  try {
    return readFileSync(file, "utf8").replace(/\r?\n$/, "");
  } catch (error) {
    problems.push(`${name}_FILE cannot be read: ${(error as Error).message}`);
    return undefined;
  }
}

function unknownNames(env: Record<string, string | undefined>): string[] {
  const known = Object.keys(variables);
  const problems: string[] = [];
  for (const name of Object.keys(env)) {
    if (!name.startsWith("SLUICE_")) continue;
    const base = name.replace(/_FILE$/, "");
    if (known.includes(name) || known.includes(base)) continue;
    const nearest = known
      .filter((candidate) => candidate.startsWith("SLUICE_"))
      .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
      .sort((a, b) => a.distance - b.distance)[0];
    const hint = nearest && nearest.distance <= 6 ? `; did you mean ${nearest.candidate}?` : "";
    problems.push(`${name} is not a variable of this system${hint}`);
  }
  return problems;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min((next[j - 1] ?? 0) + 1, (row[j] ?? 0) + 1, (row[j - 1] ?? 0) + cost));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** A value as it may be shown: secrets and URL passwords blotted out. */
export function mask(name: string, value: string): string {
  if (/TOKEN|PASSWORD|PEPPER|SECRET|(^|_)KEY$/.test(name)) return "***";
  return `'${value.replace(/(:\/\/[^:/@]*):.*@/, "$1:***@").slice(0, 120)}'`;
}
