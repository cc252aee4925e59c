import { readFileSync } from "node:fs";
import { Option } from "commander";
import { CommandError } from "../command-error.ts";
import { environment } from "../environment.ts";

/** Flags that name where a secret is, never the secret. */
export interface PasswordSource {
  passwordFile?: string;
  passwordStdin?: boolean;
  /** Given on the command line, which is refused. */
  password?: string;
  apiKey?: string;
}

/** Flags that people try; they are refused with how to do it instead. */
export const refusedSecretOptions = () => [
  new Option("--password <secret>").hideHelp(),
  new Option("--api-key <secret>").hideHelp(),
];

const HOW =
  "set SLUICE_DEVICE_PASSWORD or SLUICE_DEVICE_PASSWORD_FILE, or use --password-file or --password-stdin";

/**
 * Finds the password of a device: standard input, a file or the environment.
 * @throws CommandError where there is none, or where it stood on the command line for everybody to see
 */
export function readDevicePassword(source: PasswordSource): string {
  if (source.password !== undefined || source.apiKey !== undefined) {
    throw new CommandError(
      `a secret on the command line can be read by everybody on this machine: ${HOW}`,
      2,
    );
  }
  const password = source.passwordStdin
    ? readSecret(0, "standard input")
    : source.passwordFile !== undefined
      ? readSecret(source.passwordFile, source.passwordFile)
      : (environment.SLUICE_DEVICE_PASSWORD ?? fromFile(environment.SLUICE_DEVICE_PASSWORD_FILE));
  if (!password) throw new CommandError(`no password: ${HOW}`, 2);
  return password;
}

const fromFile = (path: string | undefined) => (path ? readSecret(path, path) : undefined);

function readSecret(from: string | 0, name: string): string {
  try {
    return readFileSync(from, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    throw new CommandError(`no password from ${name}: ${(cause as Error).message}`, 2, { cause });
  }
}
