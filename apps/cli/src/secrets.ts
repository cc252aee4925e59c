import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { CommandError } from "./command-error.ts";
import { replaceFile } from "./write-file.ts";

const Secrets = z.object({
  postgresPassword: z.string().min(16),
  redisPassword: z.string().min(16),
  influxPassword: z.string().min(16),
  pepper: z.string().min(16),
  /** The device made at the first start, once it was made. */
  firstDevice: z.string().optional(),
  /** The person made at the first start, once made. */
  firstAdmin: z.string().optional(),
});

/** What a data folder keeps secret, made once. */
export type Secrets = z.output<typeof Secrets>;

/** Reads the folder's secrets; makes them where there are none. */
export function ensureSecrets(dataDir: string): Secrets {
  const path = secretsPath(dataDir);
  if (existsSync(path)) return readSecrets(dataDir);
  // Other passwords would lock us out of data that is there.
  if (existsSync(join(dataDir, "postgres", "data"))) {
    throw new CommandError(
      `${path} is missing but ${dataDir} has data: bring the file back, or move the folder away`,
    );
  }
  const make = () => randomBytes(24).toString("hex");
  const secrets = { postgresPassword: make(), redisPassword: make(), influxPassword: make(), pepper: make() };
  saveSecrets(dataDir, secrets);
  return secrets;
}

/** Reads the folder's secrets. @throws CommandError where they are missing or damaged */
export function readSecrets(dataDir: string): Secrets {
  const path = secretsPath(dataDir);
  try {
    return Secrets.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (cause) {
    const why = cause instanceof Error && "code" in cause ? cause.message : "it is damaged";
    throw new CommandError(`secrets of the data folder cannot be read: ${path}: ${why}`, 1, { cause });
  }
}

/** Writes the folder's secrets, for its owner only. */
export function saveSecrets(dataDir: string, secrets: Secrets): void {
  replaceFile(secretsPath(dataDir), `${JSON.stringify(secrets, null, 2)}\n`);
}

function secretsPath(dataDir: string): string {
  return join(dataDir, "secrets.json");
}
