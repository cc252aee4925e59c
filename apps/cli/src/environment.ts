import { existsSync } from "node:fs";
import { resolve } from "node:path";

/** The folder of this installation. */
export const ROOT = resolve(import.meta.dirname, "../../..");

const SETTINGS = resolve(ROOT, ".env.processing");
// what is in the environment already comes first
if (existsSync(SETTINGS)) process.loadEnvFile(SETTINGS);

/** The variables this command was started with, and those of `.env.processing`: the one place of the CLI that reads them. */
export const environment: Readonly<Record<string, string | undefined>> = process.env;

/** The data folder meant by `--data-dir`, else `SLUICE_DATA_DIR`, else `.sluice` of this installation. */
export function resolveDataDir(option?: string): string {
  const named = option ?? environment.SLUICE_DATA_DIR;
  return named === undefined || named === "" ? resolve(ROOT, ".sluice") : resolve(named);
}
